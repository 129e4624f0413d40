"""Whether KVM runs guests on this machine, found out by running one.

The existence of /dev/kvm proves nothing, and neither does a guest that runs a few instructions: there are virtual
machines whose KVM gets through a boot sector by emulating each instruction, and never to the end of a kernel's boot.
"""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path

import structlog

log = structlog.get_logger()

PROBE_SECONDS = 3.0

# Enters 64-bit mode with paging on, counts down from 200 million (a tenth of a second on a real processor, under a
# second in QEMU's TCG), and says 0x2a to port 0xf4, where a device ends QEMU with status 2 * 0x2a + 1.
_PROGRAM = bytes.fromhex(
    "fa 31c0 8ed8 8ec0 8ed0"  # cli; ds = es = ss = 0
    "66bf00100000 66b9000c0000 6631c0 fc 66f3ab"  # clear three pages at 0x1000
    "c70600100320 c70600200330 c70600308300"  # page tables: the first 2 MiB, mapped to themselves
    "660f0116887c"  # lgdt [gdtr]
    "66b800100000 0f22d8"  # cr3 = 0x1000
    "66b820000000 0f22e0"  # cr4 = PAE
    "66b9800000c0 0f32 660d00010000 0f30"  # EFER |= LME
    "66b811000080 0f22c0"  # cr0 = PG | ET | PE
    "66ea677c00000800"  # far jump into the 64-bit segment
    "b900c2eb0b ffc9 75fc"  # ecx = 200,000,000; count down
    "b02a e6f4 f4"  # out 0xf4, 0x2a; hlt
    "0f1f00"  # alignment
    "0000000000000000 00000000009a2000"  # gdt: null, 64-bit code
    "0f00 787c0000"  # gdtr: its limit and its address
)
_STATUS = 2 * 0x2A + 1
_FLOPPY_BYTES = 1_474_560
BOOT_SECTOR = _PROGRAM.ljust(510, b"\0") + b"\x55\xaa"


@cache
def kvm_runs_guests() -> bool:
    """Boot one sector through the BIOS under KVM; true when it ran to its end in time. Blocks a few seconds at most.

    The answer holds for the life of the process.
    """
    runs = Path("/dev/kvm").exists() and accelerator_runs_guests("kvm", PROBE_SECONDS)
    log.info("kvm_probed", usable=runs)
    return runs


def accelerator_runs_guests(accelerator: str, seconds: float) -> bool:
    """Whether QEMU's `accelerator` ran the boot sector to its end within `seconds`."""
    with tempfile.NamedTemporaryFile(prefix="skybus-probe-", suffix=".img") as image:
        image.write(BOOT_SECTOR.ljust(_FLOPPY_BYTES, b"\0"))
        image.flush()
        argv = [
            *("qemu-system-x86_64", "-accel", accelerator, "-machine", "pc", "-cpu", "qemu64", "-m", "16"),
            *("-display", "none", "-nodefaults", "-no-user-config", "-no-reboot"),
            *("-drive", f"if=floppy,format=raw,readonly=on,file={image.name}"),
            *("-device", "isa-debug-exit,iobase=0xf4,iosize=1"),
        ]
        try:
            done = subprocess.run(argv, timeout=seconds, capture_output=True, check=False, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == _STATUS
