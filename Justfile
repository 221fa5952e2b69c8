# What can be done here. "./just" gets just and Go where they are missing; every recipe installs the rest it needs.

set shell := ["sh", "-euc"]

build := justfile_directory() / "build"
initddi := build / "initddi"
build_packages := "openssl osslsigncode erofs-utils zstd mtools dosfstools kmod cpio ca-certificates xz-utils"
boot_packages := "qemu-system-x86 ovmf"
tree_packages := "mmdebstrap apt debian-archive-keyring"

# List the recipes
default:
    @just --list --unsorted

# Build everything, boot it in QEMU (Secure Boot, signed UKI, signed DDI) and show it
boot config="debug": _boot-packages (demo config)
    {{ initddi }} boot --secureboot-cert {{ build }}/keys/secureboot.crt \
        --sizes {{ build }}/initddi.efi,{{ build }}/stage1.zst,{{ build }}/debian_13.raw {{ build }}/disk.img

# Build what ./just boot boots, below build/
demo config="debug": _tree-packages _build-packages host tree
    {{ initddi }} keys {{ build }}/keys
    scripts/if-changed {{ build }}/debian_13.raw {{ build }}/debian/tree.tar {{ build }}/keys/ddi.crt internal/image internal/verity internal/gpt internal/signature -- \
        scripts/as-root {{ initddi }} ddi --output {{ build }}/debian_13.raw --key {{ build }}/keys/ddi.key --cert {{ build }}/keys/ddi.crt {{ build }}/debian/tree.tar
    scripts/if-changed {{ build }}/stage1.zst cmds internal templates/mkuimage.yaml go.mod {{ build }}/keys/ddi.crt {{ build }}/debian/modules.tar -- \
        {{ initddi }} initramfs --output {{ build }}/stage1.zst --config {{ config }} --modules {{ build }}/debian/modules --trust {{ build }}/keys/ddi.crt --set id=debian
    scripts/if-changed {{ build }}/initddi.efi {{ build }}/stage1.zst {{ build }}/debian/boot {{ build }}/keys/secureboot.crt internal/uki -- \
        {{ initddi }} uki --output {{ build }}/initddi.efi --stub {{ build }}/debian/boot/linuxx64.efi.stub --kernel {{ build }}/debian/boot/vmlinuz \
        --initramfs {{ build }}/stage1.zst --cmdline "console=ttyS0" --key {{ build }}/keys/secureboot.key --cert {{ build }}/keys/secureboot.crt
    scripts/if-changed {{ build }}/disk.img {{ build }}/initddi.efi {{ build }}/debian_13.raw internal/esp -- \
        {{ initddi }} disk --output {{ build }}/disk.img --file /EFI/BOOT/BOOTX64.EFI={{ build }}/initddi.efi --image /loader/ddi/debian_13.raw={{ build }}/debian_13.raw

# Build the host tool, build/initddi
host:
    @mkdir -p {{ build }}
    go build -o {{ initddi }} ./cmds/initddi

# Make the Debian 13 tree, kernel and stub that the demonstration uses
tree: _tree-packages
    scripts/if-changed {{ build }}/debian/tree.tar templates/debian scripts/debian-mirror -- \
        scripts/as-root templates/debian/make-tree trixie {{ build }}/debian
    @[ -d {{ build }}/debian/modules ] || { mkdir {{ build }}/debian/modules && tar -C {{ build }}/debian/modules -xf {{ build }}/debian/modules.tar; }

# Format, vet and run the unit tests of one or all packages
check pkg="./...":
    test -z "$(gofmt -l cmds internal vmtest 2>/dev/null)"
    go vet {{ pkg }}
    go test {{ pkg }}

_build-packages:
    @scripts/packages {{ build_packages }}

_boot-packages:
    @scripts/packages {{ boot_packages }}

_tree-packages:
    @scripts/packages {{ tree_packages }}
