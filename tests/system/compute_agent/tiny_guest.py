"""A guest image of a few megabytes: a Debian cloud kernel, busybox, a script that tells the serial port what it sees.

It knows disks being plugged, the power button and the config drive; that is all these tests ask of a guest.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

MODULES = ["virtio_pci", "virtio_blk", "virtio_net", "virtio_balloon", "ata_piix", "sr_mod", "isofs", "button", "evdev"]
PACKAGE = "linux-image-cloud-amd64"

_INIT = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc p /proc; $B mount -t sysfs s /sys; $B mount -t devtmpfs d /dev
$B --install -s /bin; export PATH=/bin
while read m; do insmod /mods/$m; done < /order
acpid -d -l /dev/null &
mount -o ro /dev/sr0 /mnt && echo "GUEST-CONFIG $(cat /mnt/openstack/latest/meta_data.json)" > /dev/console
echo "GUEST-CARDS $(cat /sys/class/net/eth*/address | tr '\\n' ' ')" > /dev/console
echo "GUEST-READY $(cat /sys/class/block/vda/size)" > /dev/console
seen=
while :; do
  now=$(ls /sys/class/block)
  for d in $now; do case " $seen " in *" $d "*) ;; *)
    case $d in vd[b-z])
      echo "GUEST-DISK $d $(cat /sys/class/block/$d/serial) $(dd if=/dev/$d bs=16 count=1 2>/dev/null)" > /dev/console
      printf 'WRITTEN-BY-GUEST' | dd of=/dev/$d bs=512 seek=8 conv=fsync 2>/dev/null
      echo "GUEST-WROTE $d" > /dev/console;;
    esac;; esac; done
  for d in $seen; do [ -e /sys/class/block/$d ] || echo "GUEST-LOST $d" > /dev/console; done
  seen=$(echo $now); usleep 300000
done
"""
_SYSLINUX = """DEFAULT l
PROMPT 0
TIMEOUT 1
LABEL l
LINUX /vmlinuz
INITRD /initrd
APPEND console=ttyS0 quiet nokaslr
"""
_BOOT_MIB = 24


def build_tiny_guest(folder: Path) -> Path:
    """A qcow2 image in `folder`. Takes a few seconds; fetches the kernel's package unless the machine has it."""
    kernel, modules_root, version = _kernel(folder)
    initrd = _initrd(folder, modules_root, version)
    boot = folder / "boot.img"
    disk = folder / "disk.img"
    boot.write_bytes(b"")
    _run("truncate", "-s", f"{_BOOT_MIB}M", str(boot))
    _run("mkfs.vfat", "-h", "2048", "-F", "16", "-n", "BOOT", str(boot))
    (folder / "syslinux.cfg").write_text(_SYSLINUX)
    for source, name in ((kernel, "vmlinuz"), (initrd, "initrd"), (folder / "syslinux.cfg", "syslinux.cfg")):
        _run("mcopy", "-i", str(boot), str(source), f"::/{name}")
    _run("syslinux", "--install", str(boot))
    _run("truncate", "-s", f"{_BOOT_MIB + 1}M", str(disk))
    _run("sfdisk", "-q", str(disk), text=f"label: dos\n2048,{_BOOT_MIB * 2048},0x0e,*\n")
    _run("dd", "if=/usr/lib/syslinux/mbr/mbr.bin", f"of={disk}", "bs=440", "count=1", "conv=notrunc")
    _run("dd", f"if={boot}", f"of={disk}", "bs=1M", "seek=1", "conv=notrunc")
    image = folder / "guest.qcow2"
    _run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(disk), str(image))
    return image


def _kernel(folder: Path) -> tuple[Path, Path, str]:
    installed = sorted(Path("/boot").glob("vmlinuz-*-cloud-amd64"))
    if installed:
        return installed[-1], Path("/"), installed[-1].name.removeprefix("vmlinuz-")
    depends = _run("apt-cache", "depends", PACKAGE)
    package = next(line.split()[1] for line in depends.splitlines() if "Depends: linux-image-" in line)
    _run("apt-get", "-q", "download", package, cwd=folder)
    root = folder / "kernel"
    _run("dpkg-deb", "-x", str(next(folder.glob("linux-image-*.deb"))), str(root))
    version = package.removeprefix("linux-image-")
    _run("depmod", "-b", str(root), version)
    return root / f"boot/vmlinuz-{version}", root, version


def _initrd(folder: Path, modules_root: Path, version: str) -> Path:
    root = folder / "initrd-root"
    for name in ("bin", "proc", "sys", "dev", "mods", "mnt", "etc/acpi/PWRF"):
        (root / name).mkdir(parents=True)
    _run("cp", "/usr/bin/busybox", str(root / "bin/busybox"))
    order: dict[str, None] = {}
    for module in MODULES:
        for line in _run("modprobe", "-S", version, "-d", str(modules_root), "--show-depends", module).splitlines():
            if line.startswith("insmod"):
                order[line.split()[1]] = None
    for path in order:
        _run("cp", path, str(root / "mods"))
    (root / "order").write_text("".join(f"{Path(path).name}\n" for path in order))
    power = root / "etc/acpi/PWRF/00000080"
    for script, text in ((root / "init", _INIT), (power, "#!/bin/sh\npoweroff -f\n")):
        script.write_text(text)
        script.chmod(0o755)
    (root / "bin/sh").symlink_to("busybox")
    initrd = folder / "initrd"
    names = "".join(f"{path.relative_to(root)}\n" for path in sorted(root.rglob("*")))
    archive = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"], input=names.encode(), cwd=root, capture_output=True, check=True
    )
    initrd.write_bytes(archive.stdout)
    _run("gzip", "-1", "-k", str(initrd))
    return initrd.with_name("initrd.gz")


def _run(*argv: str, text: str | None = None, cwd: Path | None = None) -> str:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=120, check=False, cwd=cwd)
    assert done.returncode == 0, (argv, done.stderr)
    return done.stdout
