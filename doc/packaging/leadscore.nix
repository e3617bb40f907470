# For NixOS, with this file beside the configuration:
#
#   services.postgresql.extensions = _: [
#     (pkgs.callPackage ./leadscore.nix { postgresql = config.services.postgresql.package; src = /path/to/leadscore; })
#   ];

{ lib, callPackage, path, postgresql, src }:

let
  postgresqlBuildExtension =
    callPackage (path + "/pkgs/servers/sql/postgresql/postgresqlBuildExtension.nix") { inherit postgresql; };
in
postgresqlBuildExtension {
  pname = "leadscore";
  version = "1.0.0";
  inherit src;

  meta = {
    description = "Lead scoring for e-commerce inside PostgreSQL";
    homepage = "https://leadscore.example";
    license = lib.licenses.postgresql;
    platforms = postgresql.meta.platforms;
  };
}
