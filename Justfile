# What can be done here. "./just" gets just and Go where they are missing; every recipe installs the rest it needs.

set shell := ["sh", "-euc"]
# "$@" keeps what somebody quoted, as {{ args }} does not.
set positional-arguments

build := justfile_directory() / "build"
initddi := build / "initddi"
build_packages := "openssl osslsigncode erofs-utils zstd mtools dosfstools kmod cpio ca-certificates xz-utils"
boot_packages := "qemu-system-x86 ovmf"
test_packages := "gdisk fdisk cryptsetup-bin squashfs-tools e2fsprogs sbsigntool binutils util-linux uidmap systemd systemd-repart? systemd-container parted systemd-boot-efi groff-base zsh swtpm tpm2-tools syslinux? softhsm2 opensc libengine-pkcs11-openssl nbd-server nbdkit"
network_packages := "iproute2 util-linux dnsmasq-base nginx-light nbdkit"
interop_packages := "gdisk cryptsetup-bin squashfs-tools e2fsprogs btrfs-progs sbsigntool util-linux qemu-user-static"
kernel_packages := "gcc libc6-dev make flex bison bc libelf-dev libssl-dev pkgconf zstd xz-utils"
handover_packages := "dmsetup libcryptsetup12 libtss2-esys-3.0.2-0t64 libtss2-mu-4.0.1-0t64 libtss2-rc0t64 libtss2-tcti-device0t64"
tree_packages := "mmdebstrap apt debian-archive-keyring"

[private]
default:
    @just --list --unsorted

# Build everything, boot it in QEMU (Secure Boot, signed UKI, signed DDI) and show it; options go to initddi boot (--tpm build/tpm: with a TPM)
boot config="debug" *options: _boot-packages (demo config)
    @case " {{ options }} " in *" --tpm"*) scripts/packages swtpm ;; esac
    @{{ initddi }} boot {{ options }} --secureboot-cert {{ build }}/keys/secureboot.crt \
        --sizes {{ build }}/initddi.efi,{{ build }}/stage1.zst,{{ build }}/debian_13.raw {{ build }}/disk.img

# Build what ./just boot boots, below build/
demo config="debug": _tree-packages _build-packages host tree
    @{{ initddi }} keys {{ build }}/keys
    @CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -buildid=" -o {{ build }}/initddi-bless ./cmds/initddi-bless
    @scripts/if-changed {{ build }}/debian_13.tar {{ build }}/debian/tree.tar {{ build }}/initddi-bless templates/debian/add-program -- \
        templates/debian/add-program {{ build }}/debian/tree.tar {{ build }}/debian_13.tar {{ build }}/initddi-bless
    @scripts/if-changed {{ build }}/debian_13.raw {{ build }}/debian_13.tar {{ build }}/keys/ddi.crt internal/image internal/verity internal/gpt internal/signature -- \
        scripts/as-root {{ initddi }} ddi --output {{ build }}/debian_13.raw --key {{ build }}/keys/ddi.key --cert {{ build }}/keys/ddi.crt {{ build }}/debian_13.tar
    @scripts/if-changed {{ build }}/stage1.zst cmds internal templates/mkuimage.yaml go.mod {{ build }}/keys/ddi.crt {{ build }}/debian/modules.tar -- \
        {{ initddi }} initramfs --output {{ build }}/stage1.zst --config {{ config }} --modules {{ build }}/debian/modules --trust {{ build }}/keys/ddi.crt --set id=debian
    @scripts/if-changed {{ build }}/initddi.efi {{ build }}/stage1.zst {{ build }}/debian/boot {{ build }}/keys/secureboot.crt internal/uki -- \
        {{ initddi }} uki --output {{ build }}/initddi.efi --stub {{ build }}/debian/boot/linuxx64.efi.stub --kernel {{ build }}/debian/boot/vmlinuz \
        --initramfs {{ build }}/stage1.zst --cmdline "console=ttyS0" --key {{ build }}/keys/secureboot.key --cert {{ build }}/keys/secureboot.crt
    @scripts/if-changed {{ build }}/disk.img {{ build }}/initddi.efi {{ build }}/debian_13.raw internal/esp -- \
        {{ initddi }} disk --output {{ build }}/disk.img --file /EFI/BOOT/BOOTX64.EFI={{ build }}/initddi.efi --image /loader/ddi/debian_13.raw={{ build }}/debian_13.raw

# Build the host tool, build/initddi
host:
    @mkdir -p {{ build }}
    go build -o {{ initddi }} ./cmds/initddi

# Make the Debian 13 tree, kernel and stub that the demonstration uses
tree: _tree-packages
    @scripts/if-changed {{ build }}/debian/tree.tar templates/debian scripts/debian-mirror -- \
        scripts/as-root templates/debian/make-tree trixie {{ build }}/debian
    @scripts/if-changed {{ build }}/debian/modules {{ build }}/debian/modules.tar -- \
        sh -euc 'rm -rf "$1" && mkdir "$1" && tar -C "$1" -xf "$1.tar"' sh {{ build }}/debian/modules

# Make the initrd image out of Debian 13's packages, which unlocks and enters a real root on LUKS, LVM, RAID: build/initrd_13.raw
initrd-image: _initrd-tree tree
    @scripts/if-changed {{ build }}/initrd_13.tar {{ build }}/initrd/tree.tar {{ build }}/debian/modules.tar templates/initrd/add-modules templates/initrd/prune-modules -- \
        templates/initrd/add-modules {{ build }}/initrd/tree.tar {{ build }}/initrd_13.tar {{ build }}/debian/modules.tar
    @scripts/if-changed {{ build }}/initrd_13.raw {{ build }}/initrd_13.tar {{ build }}/keys/ddi.crt internal/image internal/verity internal/gpt internal/signature -- \
        scripts/as-root {{ initddi }} ddi --output {{ build }}/initrd_13.raw --key {{ build }}/keys/ddi.key --cert {{ build }}/keys/ddi.crt {{ build }}/initrd_13.tar

# Make the initrd image without modules, build/initrd-bare_13.raw, and KERNEL's modules (cloud, generic) as a system extension for it, build/modules-RELEASE.sysext.raw
initrd-modules kernel="cloud": _initrd-tree tree
    @case "{{ kernel }}" in \
        cloud) ;; \
        generic) [ -e {{ build }}/kernel-generic/version ] || scripts/fetch-package trixie linux-image-amd64 {{ build }}/kernel-generic ;; \
        *) echo "cannot take the modules of {{ kernel }}: it is cloud or generic" >&2; exit 2 ;; \
    esac
    @scripts/if-changed {{ build }}/initrd-bare_13.raw {{ build }}/initrd/tree.tar {{ build }}/keys/ddi.crt internal/image internal/verity internal/gpt internal/signature -- \
        scripts/as-root {{ initddi }} ddi --output {{ build }}/initrd-bare_13.raw --key {{ build }}/keys/ddi.key --cert {{ build }}/keys/ddi.crt {{ build }}/initrd/tree.tar
    @from={{ build }}/{{ if kernel == "cloud" { "debian/modules" } else { "kernel-generic/root" } }}; out={{ build }}/initrd-modules/{{ kernel }}; \
    scripts/if-changed $out.tar templates/initrd/make-modules templates/initrd/prune-modules $from -- \
        templates/initrd/make-modules $out.tar $from; \
    scripts/if-changed $out.sysext.raw $out.tar {{ build }}/keys/ddi.crt internal/image internal/verity internal/gpt internal/signature -- \
        scripts/as-root {{ initddi }} ddi --output $out.sysext.raw --key {{ build }}/keys/ddi.key --cert {{ build }}/keys/ddi.crt $out.tar; \
    ln -f $out.sysext.raw "{{ build }}/$(tar -tf $out.tar | sed -n 's,.*/extension-release\.\(modules-.*\),\1,p').sysext.raw"

_initrd-tree: _tree-packages _build-packages host
    @{{ initddi }} keys {{ build }}/keys
    @scripts/if-changed {{ build }}/initrd/tree.tar templates/initrd/make-initrd templates/initrd/skeleton scripts/debian-mirror -- \
        scripts/as-root templates/initrd/make-initrd trixie {{ build }}/initrd

# The same out of Debian sid, for what only its systemd can do. Its lists may be older than they say that they are good for.
_initrd-image-sid: _tree-packages _build-packages host tree
    @{{ initddi }} keys {{ build }}/keys
    @scripts/if-changed {{ build }}/initrd-sid/tree.tar templates/initrd/make-initrd templates/initrd/skeleton scripts/debian-mirror -- \
        scripts/as-root env 'APTOPT=Acquire::Check-Valid-Until "false"' templates/initrd/make-initrd sid {{ build }}/initrd-sid
    @scripts/if-changed {{ build }}/initrd_sid.tar {{ build }}/initrd-sid/tree.tar {{ build }}/debian/modules.tar templates/initrd/add-modules templates/initrd/prune-modules -- \
        templates/initrd/add-modules {{ build }}/initrd-sid/tree.tar {{ build }}/initrd_sid.tar {{ build }}/debian/modules.tar
    @scripts/if-changed {{ build }}/initrd_sid.raw {{ build }}/initrd_sid.tar {{ build }}/keys/ddi.crt internal/image internal/verity internal/gpt internal/signature -- \
        scripts/as-root {{ initddi }} ddi --output {{ build }}/initrd_sid.raw --key {{ build }}/keys/ddi.key --cert {{ build }}/keys/ddi.crt {{ build }}/initrd_sid.tar

# Make the initrd image by systemd-repart out of the same tree, or by mkosi from nothing, and judge it as stage 1 does: repart or mkosi
initrd-image-by tool: initrd-image
    @scripts/if-changed {{ build }}/tools/trixie vmtest/complexroot/make-tools scripts/debian-mirror -- \
        scripts/as-root vmtest/complexroot/make-tools {{ build }}/tools/trixie
    @scripts/if-changed {{ build }}/initrd_{{ tool }}.raw vmtest/complexroot/build-by templates/repart.d/initrd templates/mkosi/initrd {{ build }}/initrd_13.tar {{ build }}/debian/modules.tar {{ build }}/keys/ddi.crt -- \
        scripts/as-root vmtest/complexroot/build-by {{ tool }} {{ build }}/tools/trixie {{ build }}/initrd_{{ tool }}.raw {{ build }}/keys/ddi.key {{ build }}/keys/ddi.crt {{ build }}/initrd_13.tar {{ build }}/debian/modules.tar
    @{{ initddi }} inspect --trust {{ build }}/keys/ddi.crt {{ build }}/initrd_{{ tool }}.raw

# The real root that the boots of the initrd image end in
_complex-root: _tree-packages tree
    @scripts/packages e2fsprogs
    @scripts/if-changed {{ build }}/complex/root.tar vmtest/complexroot/make-root scripts/debian-mirror -- \
        scripts/as-root vmtest/complexroot/make-root {{ build }}/complex/root.tar
    @scripts/if-changed {{ build }}/complex/root.ext4 {{ build }}/complex/root.tar {{ build }}/debian/modules.tar vmtest/complexroot -- \
        scripts/as-root vmtest/complexroot/make-file-system {{ build }}/complex/root.tar {{ build }}/debian/modules.tar 6c6f6f74-0000-4000-8000-000000000001 {{ build }}/complex/root.ext4

# The same on btrfs, with the modules of two kernels
_kernels-root: _complex-root (initrd-modules "generic")
    @scripts/packages btrfs-progs
    @scripts/if-changed {{ build }}/complex/root.btrfs {{ build }}/complex/root.ext4.stamp {{ build }}/initrd-modules/generic.tar vmtest/kernelsroot -- \
        scripts/as-root vmtest/kernelsroot/make-btrfs {{ build }}/complex/root.ext4 {{ build }}/initrd-modules/generic.tar 6c6f6f74-0000-4000-8000-000000000001 {{ build }}/complex/root.btrfs

# An extension that says what an initrd's systemd has merged
_kernels-probe: _build-packages host
    @{{ initddi }} keys {{ build }}/keys
    @scripts/if-changed {{ build }}/complex/probe.tar vmtest/kernelsroot/make-probe {{ build }}/keys/ddi.crt -- \
        vmtest/kernelsroot/make-probe {{ build }}/complex/probe.tar {{ build }}/keys/ddi.crt
    @scripts/if-changed {{ build }}/complex/probe.sysext.raw {{ build }}/complex/probe.tar {{ build }}/keys/ddi.crt internal/image internal/verity internal/gpt internal/signature -- \
        scripts/as-root {{ initddi }} ddi --output {{ build }}/complex/probe.sysext.raw --key {{ build }}/keys/ddi.key --cert {{ build }}/keys/ddi.crt {{ build }}/complex/probe.tar

# Build the kernel of templates/kernel, which has nothing left to load: build/kernel/initddi/bzImage (about 8 minutes)
kernel: _tree-packages
    @scripts/packages {{ kernel_packages }}
    @templates/kernel/make-kernel trixie {{ build }}/kernel/initddi

# Run the tests: units, user namespaces, fuzzing, root tests in a VM, a subset of the boots (--quick: no VM but one boot)
test mode="": (_test-mode mode) _test-packages _boot-packages (demo "debug")
    {{ if mode == "--quick" { ":" } else { just_executable() + " _interop-tree _generic-kernel" } }}
    go run ./vmtest/suite {{ if mode == "--quick" { "--only unit,ns,fuzz,boots --boots one --fuzztime 2s" } else { "" } }}

_test-mode mode:
    @case "{{ mode }}" in "" | --quick) ;; *) echo "cannot run test {{ mode }}: it takes --quick, or nothing" >&2; exit 2 ;; esac

# Run the tests and every boot there is
test-all: _test-packages _boot-packages _interop-tree _generic-kernel (demo "debug")
    go run ./vmtest/suite --all --boots all

# Run the tests that need a user namespace (TestNS…), of all packages or some
test-ns *packages: _test-packages
    INITDDI_NS=1 go test -count=1 -run '^TestNS' -exec "'{{ justfile_directory() }}/scripts/in-namespaces'" {{ if packages == "" { "./internal/... ./cmds/sysextmerge ./vmtest/attack" } else { packages } }}

# Run the tests that need to be root on a kernel of their own (TestVM…) in a virtual machine, of all packages or some (-v: say everything)
test-vm *packages: _boot-packages _build-packages tree
    @scripts/packages e2fsprogs
    go run ./vmtest/guesttests {{ packages }}

# Do what a new user does: clone into a fresh Debian SUITE with nothing installed, and run a command there as root or user
fresh suite who *command: _tree-packages
    @scripts/as-root vmtest/fresh/run "$@"

# Hold our images, UKI and ESP against the tools of others, and theirs against ours, in files and in VMs (-run TEST, -v)
interop *args: _boot-packages tree _interop-tree
    cache=$(go env GOCACHE); [ "$(id -u)" = 0 ] || cache={{ build }}/interop/go-cache; \
    scripts/as-root env INITDDI_SLOW=1 INITDDI_REQUIRE="${INITDDI_REQUIRE:-}" GOCACHE="$cache" GOMODCACHE="$(go env GOMODCACHE)" GOTOOLCHAIN="$(go env GOTOOLCHAIN)" \
        go test -count=1 -timeout 60m -skip '^TestBuild' "$@" ./vmtest/interop

# Build the commands with u-root's own tools in every documented way, and see that all of them refuse weak signatures
test-build *args: _interop-packages
    INITDDI_SLOW=1 go test -count=1 -timeout 60m -run '^TestBuild' "$@" ./vmtest/interop

# Hold sysextmerge against systemd's own systemd-sysext and systemd-confext, over generated cases (--cases N, --seed N, --only ID, -v, --json)
[no-exit-message]
differential *args: _interop-tree
    @mkdir -p {{ build }}/differential
    @CGO_ENABLED=0 go build -o {{ build }}/differential/ ./vmtest/differential ./cmds/sysextmerge
    @scripts/as-root {{ build }}/differential/differential --program {{ build }}/differential/sysextmerge --tree {{ build }}/interop/trixie "$@"

# Boot the matrix: machines that must boot, and ones that must not (--list, --only GROUP, --json, -j N)
[no-exit-message]
matrix *args: _matrix-packages
    @case " $* " in *" --list "*) ;; *) {{ just_executable() }} --justfile {{ justfile() }} demo >&2 ;; esac
    @mkdir -p {{ build }}/matrix
    @go build -o {{ build }}/matrix/matrix ./vmtest/matrix
    @{{ build }}/matrix/matrix --build {{ build }} "$@"

# Boot machines in QEMU and capture them, for the tests that look at captured machines (--only NAME,...)
capture-fixtures *args: _build-packages _tree-packages _boot-packages tree _generic-kernel
    @scripts/packages qemu-system-arm
    @[ -e {{ build }}/kernel-cloud/version ] || scripts/fetch-package trixie linux-image-cloud-amd64 {{ build }}/kernel-cloud
    @[ -e {{ build }}/kernel-arm64/version ] || scripts/fetch-package trixie linux-image-arm64 {{ build }}/kernel-arm64 arm64
    go run ./vmtest/machines --build {{ build }} "$@"
    go test ./internal/capture -run Fixtures -update

# What stage 1 weighs, by template, command and module, against the budgets; fails above one (--json, --top N)
[no-exit-message]
size *args: _build-packages _tree-packages host _generic-kernel
    @[ -e {{ build }}/kernel-cloud/version ] || scripts/fetch-package trixie linux-image-cloud-amd64 {{ build }}/kernel-cloud
    @{{ initddi }} keys {{ build }}/keys >&2
    @{{ initddi }} size --check --cloud {{ build }}/kernel-cloud/root --generic {{ build }}/kernel-generic/root --trust {{ build }}/keys/ddi.crt "$@"

# Put source lines into the stack traces of a log of stage 1, from standard input to standard output; built from this tree as the log's was (options of initddi initramfs)
lines *options: _build-packages host
    @{{ initddi }} initramfs --lines --compress none --output {{ build }}/lines.cpio "$@" >&2
    @go run ./vmtest/lines {{ build }}/lines.cpio

# What stage 1 costs a boot, in virtual time, bytes and memory, beside the kernel alone (--list, --only REGEXP, --runs N, --stages, --json)
[no-exit-message]
bench *args: _bench-packages
    @case " $* " in *" --list "*) ;; *) {{ just_executable() }} --justfile {{ justfile() }} _bench-needs >&2 ;; esac
    @mkdir -p {{ build }}/bench
    @go build -o {{ build }}/bench/bench ./vmtest/bench
    @{{ build }}/bench/bench --build {{ build }} "$@"

# Make the initramfs images of initramfs-tools, dracut and mkosi-initrd that ./just bench compares stage 1 with (about 5 minutes)
peers: _tree-packages tree
    @[ -e {{ build }}/kernel-cloud/version ] || scripts/fetch-package trixie linux-image-cloud-amd64 {{ build }}/kernel-cloud
    @scripts/if-changed {{ build }}/peers/tree vmtest/bench/make-peers {{ build }}/kernel-cloud/version -- \
        scripts/as-root vmtest/bench/make-peers {{ build }}/kernel-cloud {{ build }}/peers/tree
    @scripts/if-changed {{ build }}/peers/initrds {{ build }}/peers/tree.stamp vmtest/bench/make-initrds -- \
        scripts/as-root vmtest/bench/make-initrds {{ build }}/peers/tree {{ build }}/peers/initrds

_bench-needs: _build-packages host tree
    {{ initddi }} keys {{ build }}/keys

# Boot one initrd started by the kernel and by stage 1, and compare what systemd finds: each difference must have its reason (--keep, --noise, --json)
[no-exit-message]
handover *args: _matrix-packages
    @case " $* " in *" --keep "*) ;; *) {{ just_executable() }} --justfile {{ justfile() }} _handover-needs >&2 ;; esac
    @mkdir -p {{ build }}/handover
    @go build -o {{ build }}/handover/compare ./vmtest/handover
    @{{ build }}/handover/compare --build {{ build }} "$@"

_handover-needs: _build-packages _tree-packages host tree
    @{{ initddi }} keys {{ build }}/keys
    @mkdir -p {{ build }}/handover
    @scripts/if-changed {{ build }}/handover/debian/tree.tar templates/debian/make-tree scripts/debian-mirror -- \
        scripts/as-root templates/debian/make-tree trixie {{ build }}/handover/debian {{ handover_packages }}
    @CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -buildid=" -o {{ build }}/handover/ ./vmtest/handover/probe ./cmds/initddi-bless
    @scripts/if-changed {{ build }}/handover/trees {{ build }}/handover/debian/tree.tar {{ build }}/handover/probe {{ build }}/handover/initddi-bless vmtest/handover/make-trees vmtest/handover/gather -- \
        scripts/as-root vmtest/handover/make-trees {{ build }}/handover/debian/tree.tar {{ build }}/handover/probe {{ build }}/handover/initddi-bless {{ build }}/handover/trees
    @scripts/if-changed {{ build }}/handover/stage1.img {{ build }}/handover/trees {{ build }}/keys/ddi.crt {{ build }}/debian/boot cmds internal templates/mkuimage.yaml go.mod vmtest/handover/make-disks -- \
        vmtest/handover/make-disks {{ initddi }} {{ build }}

# Tamper with disks in every known way: each must be refused, contained or harmless, by the layer that must say so (--list, --only GROUP, --json, -j N)
[no-exit-message]
tamper *args: _matrix-packages
    @case " $* " in *" --list "*) ;; *) {{ just_executable() }} --justfile {{ justfile() }} demo >&2 ;; esac
    @mkdir -p {{ build }}/tamper
    @go build -o {{ build }}/tamper/tamper ./vmtest/tamper
    @{{ build }}/tamper/tamper --build {{ build }} "$@"

# Fuzz what reads hostile bytes, or TARGETs, until docs/SECURITY.md can say N executions of each, or for a TIME (--executions N | --time T, --list, --json)
[no-exit-message]
fuzz *args:
    @go run ./vmtest/fuzz "$@"

# Format, vet and run the unit tests of one or all packages
check pkg="./...":
    @bad=$(gofmt -l cmds internal vmtest); [ -z "$bad" ] || { echo "not as gofmt formats it:" $bad >&2; exit 1; }
    go vet {{ pkg }}
    go test {{ pkg }}

_build-packages:
    @scripts/packages {{ build_packages }}

_boot-packages:
    @scripts/packages {{ boot_packages }}

_bench-packages: _build-packages _boot-packages _tree-packages

_matrix-packages: _build-packages _boot-packages _tree-packages
    @scripts/packages squashfs-tools e2fsprogs swtpm tpm2-tools syslinux? {{ network_packages }}

_test-packages: _build-packages
    @scripts/packages {{ test_packages }} {{ network_packages }}

# Debian's generic kernel, as it is in its package
_generic-kernel:
    @[ -e {{ build }}/kernel-generic/version ] || scripts/fetch-package trixie linux-image-amd64 {{ build }}/kernel-generic

# Debian 13 with systemd's own image tools, for the tests to enter by chroot
_interop-tree: _tree-packages _interop-packages
    @scripts/if-changed {{ build }}/interop/trixie vmtest/interop/make-trixie scripts/debian-mirror -- \
        scripts/as-root vmtest/interop/make-trixie {{ build }}/interop/trixie

_interop-packages: _build-packages
    @scripts/packages {{ interop_packages }}

_tree-packages:
    @scripts/packages {{ tree_packages }}
