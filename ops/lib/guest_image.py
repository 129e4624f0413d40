"""Build the cloud's own guest image: BusyBox, Dropbear and Debian's cloud kernel on a bootable disk, in seconds.

No mounts and no loop devices: the partitions are written as files, and the files put one behind the other. The kernel
package is downloaded and unpacked, not installed, so the machine's own /boot stays as it is.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
import struct
import tempfile
from pathlib import Path

from .cpio import Initramfs
from .packages import apt_env
from .shell import run
from .state import REPO, cache_dir
from .trouble import Trouble

PARTS = REPO / "ops" / "guest"
MIB = 1024 * 1024
BOOT_MIB, ROOT_MIB = 24, 40
LABEL = "skyroot"
PROGRAMS = ("/usr/bin/busybox", "/usr/sbin/dropbear", "/usr/bin/dropbearkey", "/sbin/resize2fs")
BOOT_MODULES = ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "ata_piix")
"""Loaded by the initramfs: what the root disk may hang on."""
ROOT_MODULES = (
    *BOOT_MODULES, "virtio_net", "virtio_console", "virtio_balloon", "virtio_rng", "sr_mod", "isofs", "vfat",
    "nls_cp437", "nls_ascii", "nls_iso8859-1", "button", "evdev",
)  # fmt: skip
FOLDERS = "bin sbin usr/bin usr/sbin etc/dropbear proc sys dev run tmp root home/cirros mnt var/lib/cloud lib lib64"


def image() -> Path:
    """The guest image, built when no image of the same content is in the cache."""
    path = cache_dir() / f"guest-{content_key()}.qcow2"
    if not path.exists():
        with tempfile.TemporaryDirectory(prefix="skybus-guest-") as work:
            built = Builder(Path(work)).build()
            landing = path.with_suffix(".new")
            shutil.copyfile(built, landing)
            landing.replace(path)
        for older in cache_dir().glob("guest-*.qcow2"):
            if older != path:
                older.unlink(missing_ok=True)
    return path


def content_key() -> str:
    """A digest of everything of ours and of the programs that go into the image. Any kernel will do."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(PARTS.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(PARTS)).encode() + b"\0" + path.read_bytes())
    for program in PROGRAMS:
        if not Path(program).exists():
            raise Trouble(f"{program} is missing, which the guest image needs", "run ops/up as root; it installs it")
        digest.update(Path(program).read_bytes())
    return digest.hexdigest()[:12]


class Builder:
    """Builds one image in the scratch folder `work`."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.root = work / "root"
        self.kernel_tree = work / "kernel"
        self.release = ""

    def build(self) -> Path:
        """Everything, in order. Returns the qcow2 file."""
        self.unpack_kernel()
        self.fill_root()
        self.copy_modules()
        boot, root = self.boot_partition(), self.root_partition()
        disk, out = self.work / "disk.img", self.work / "guest.qcow2"
        join(disk, boot, root)
        run(
            ["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", disk, out], "packing the guest image", timeout=120
        )
        return out

    def unpack_kernel(self) -> None:
        """Download Debian's cloud kernel and unpack it."""
        package = kernel_package()
        run(
            ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package], "downloading the guest's kernel",
            timeout=300, cwd=self.work, env=apt_env(), advice="check the network, then `apt-get update`",
        )  # fmt: skip
        run(["dpkg-deb", "-x", next(self.work.glob("*.deb")), self.kernel_tree], "unpacking the kernel", timeout=120)
        self.release = next((self.kernel_tree / "lib" / "modules").iterdir()).name
        run(["depmod", "-b", self.kernel_tree, self.release], "listing the kernel's modules", timeout=120)

    def fill_root(self) -> None:
        """Folders, programs with their libraries, BusyBox's names, and our own files over them."""
        for folder in FOLDERS.split():
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        for program in PROGRAMS:
            self.copy_program(Path(program))
        for name in run(["busybox", "--list"], "asking BusyBox for its names").split():
            link = self.root / "bin" / name
            if name != "busybox" and not link.exists():
                link.symlink_to("/usr/bin/busybox")
        (self.root / "sbin" / "init").symlink_to("/usr/bin/busybox")
        shutil.copytree(PARTS / "rootfs", self.root, dirs_exist_ok=True)
        for path in self.root.joinpath("etc").rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        for name in (PARTS / "executables").read_text().split():
            (self.root / name).chmod(0o755)
        (self.root / "etc" / "shadow").chmod(0o600)
        (self.root / "tmp").chmod(0o1777)

    def copy_program(self, program: Path) -> None:
        """A program and the shared libraries that it names."""
        target = self.root / str(program).removeprefix("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(program, target)
        linked = run(["sh", "-c", 'ldd "$1" || true', "sh", program], f"looking at {program}")
        for library in re.findall(r"(/lib\S+)", linked):
            copy = self.root / library.removeprefix("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, copy)

    def copy_modules(self) -> None:
        """The kernel modules that a guest may need, and no others."""
        tree = self.root / "lib" / "modules" / self.release
        for path in self.modules(ROOT_MODULES):
            target = self.root / path.relative_to(self.kernel_tree)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            shutil.copy(self.kernel_tree / "lib" / "modules" / self.release / name, tree / name)
        run(["depmod", "-b", self.root, self.release], "listing the guest's modules")

    def modules(self, names: tuple[str, ...]) -> list[Path]:
        """The files of the modules `names` and of those they need, in the order of loading."""
        order: dict[Path, None] = {}
        for name in names:
            lines = run(
                ["modprobe", "-d", self.kernel_tree, "-S", self.release, "--show-depends", name], f"looking for {name}"
            )
            for line in lines.splitlines():
                kind, _, path = line.strip().partition(" ")
                if kind == "insmod":
                    order[Path(path.split()[0])] = None
        return list(order)

    def initramfs(self) -> bytes:
        """The initramfs, packed."""
        archive = Initramfs()
        for folder in ("bin", "proc", "sys", "dev", "new", "modules"):
            archive.folder(folder)
        archive.device("dev/console", 5, 1)
        archive.file("bin/busybox", Path("/usr/bin/busybox").read_bytes(), 0o755)
        archive.link("bin/sh", "busybox")
        archive.file("init", (PARTS / "initramfs" / "init").read_bytes(), 0o755)
        files = self.modules(BOOT_MODULES)
        for path in files:
            archive.file(f"modules/{path.name}", path.read_bytes())
        archive.file("modules/order", "".join(f"{path.name}\n" for path in files).encode())
        return gzip.compress(archive.done(), mtime=0)

    def boot_partition(self) -> Path:
        """FAT with the boot loader, its menu, the kernel and the initramfs."""
        path, initrd = self.work / "boot.img", self.work / "initrd"
        make_sparse(path, BOOT_MIB * MIB)
        run(["mkfs.vfat", "-h", "2048", "-F", "16", "-n", "BOOT", path], "making the boot partition")
        initrd.write_bytes(self.initramfs())
        files = {
            "vmlinuz": self.kernel_tree / "boot" / f"vmlinuz-{self.release}",
            "initrd": initrd,
            "syslinux.cfg": PARTS / "boot" / "syslinux.cfg",
        }
        for name, source in files.items():
            run(["mcopy", "-i", path, source, f"::/{name}"], f"copying {name} to the boot partition")
        run(["syslinux", "--install", path], "installing the boot loader")
        return path

    def root_partition(self) -> Path:
        """Ext4 with the root tree. Everything belongs to root but the user's own home."""
        path = self.work / "root.img"
        make_sparse(path, ROOT_MIB * MIB)
        run(
            ["mke2fs", "-q", "-t", "ext4", "-L", LABEL, "-O", "^has_journal", "-m", "0", "-E", "root_owner=0:0",
             "-d", self.root, path], "making the root partition",
        )  # fmt: skip
        return path


def kernel_package() -> str:
    """The package that Debian's newest cloud kernel is in."""
    shown = run(["apt-cache", "depends", "linux-image-cloud-amd64"], "looking for the guest's kernel")
    found = re.search(r"Depends: (linux-image-\S+)", shown)
    if not found:
        raise Trouble("apt knows no linux-image-cloud-amd64", "run `apt-get update`; Debian 12's main section has it")
    return found[1]


def make_sparse(path: Path, size: int) -> None:
    """A file of `size` bytes that takes no room yet."""
    with path.open("wb") as file:
        file.truncate(size)


def join(disk: Path, boot: Path, root: Path) -> None:
    """One disk of the two partitions, with a partition table and the code that starts the first."""
    sectors = MIB // 512
    starts = (sectors, sectors + BOOT_MIB * sectors)
    sizes = (BOOT_MIB * sectors, ROOT_MIB * sectors)
    code = Path("/usr/lib/syslinux/mbr/mbr.bin").read_bytes()[:440].ljust(446, b"\0")
    table = b"".join(
        struct.pack("<B3sB3sII", flag, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", start, size)
        for flag, kind, start, size in zip((0x80, 0), (0x0E, 0x83), starts, sizes, strict=True)
    )
    with disk.open("wb") as out:
        out.write(code + table.ljust(64, b"\0") + b"\x55\xaa")
        for start, part in zip(starts, (boot, root), strict=True):
            out.seek(start * 512)
            out.write(part.read_bytes())
