# For NixOS, with this file beside the configuration:
#
#   services.postgresql.extensions = ps: [ (ps.callPackage ./leadscore.nix { src = /path/to/leadscore; }) ];

{ lib, postgresql, postgresqlBuildExtension, src }:

postgresqlBuildExtension {
  pname = "leadscore";
  version = "0.1.0";
  inherit src;

  meta = {
    description = "Lead scoring for e-commerce inside PostgreSQL";
    homepage = "https://leadscore.example";
    license = lib.licenses.postgresql;
    platforms = postgresql.meta.platforms;
  };
}
