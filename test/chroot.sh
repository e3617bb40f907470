# Chroots of Debian for other servers and clean machines: sourced, after test/lib.sh, by goals that run as the caller.
# Each sets $folder, where what is made once lies until it ends. Needs root, or sudo without a password.

needs_root() { as_root true 2> /dev/null || die "Making a chroot needs root, or sudo without a password."; }

# The suite of Debian that has a version. What is not in a release yet is in experimental, which stands on the testing
# suite.
suite_of()
{
    case $1 in
        15) echo bookworm ;;
        17) echo trixie ;;
        18) echo forky ;;
        19) echo forky experimental ;;
        *) die "No suite of Debian is known to have PostgreSQL $1." ;;
    esac
}

# The Debian mirror that apt uses here.
mirror()
{
    local uri

    uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
    [ -n "$uri" ] || die "cannot tell from apt's sources where Debian's packages come from"
    echo "$uri" | sed 's,/*$,,'
}

# make_chroot VERSION TARGET PACKAGES: a folder, or a .tar to unpack, with a server and what to build and test with.
make_chroot()
{
    local version=$1 target=$2 packages=$3 part suites suite mirror

    part=$(dirname "$target")/part-$$-$(basename "$target")
    suites=$(suite_of "$version") mirror=$(mirror)
    as_root mkdir -p "$(dirname "$target")"
    heading "making a chroot of Debian $suites with PostgreSQL $version"
    provide_packages mmdebstrap
    for suite in $suites; do
        echo "deb $mirror $suite main"
    done > "$folder/sources.list"
    # From experimental comes what is built from the source of this version, and nothing else.
    printf '%s\n' "Package: src:postgresql-$version" 'Pin: release a=experimental' 'Pin-Priority: 500' > "$folder/preferences"
    # A copy of a testing suite may be some weeks old; its signature is checked all the same.
    as_root mmdebstrap --quiet --mode=root --variant=apt --aptopt='Acquire::Check-Valid-Until "false"' \
        --include="build-essential postgresql-$version postgresql-server-dev-$version $packages" \
        --dpkgopt=force-unsafe-io \
        --setup-hook="cp '$folder/preferences' \"\$1/etc/apt/preferences.d/leadscore\"" \
        "${suites%% *}" "$part" "$folder/sources.list" > "$folder/mmdebstrap.log" 2>&1 ||
        { tail -n 20 "$folder/mmdebstrap.log"; die "The chroot cannot be made."; }
    as_root mv "$part" "$target"
}

# Runs a command in the chroot, in name spaces of its own: when it ends, so do its processes and mounts.
in_chroot()
{
    local root=$1
    shift

    as_root unshare --mount --pid --fork --kill-child sh -euc '
        root=$1
        shift
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
        exec chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"
        ' sh "$root" "$@"
}

# clean_machine: a new chroot in $folder/root, for packages to be built in and installed. CHROOTS keeps its archive.
clean_machine()
{
    local version=$1 archive=${CHROOTS:-$folder}/packages-$1.tar

    [ -e "$archive" ] || make_chroot "$version" "$archive" 'debhelper postgresql-server-dev-all pgxnclient'
    mkdir "$folder/root"
    as_root tar -C "$folder/root" -xf "$archive"
}
