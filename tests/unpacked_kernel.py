# SPDX-License-Identifier: Apache-2.0
"""A distribution's kernel as one that need not unpack itself, which takes an emulated machine seconds.

What is packed in a bzImage is taken out once, here, and put behind a few instructions that do what the
kernel's own unpacking would: map memory, enter 64-bit mode and begin (Linux, Documentation/x86/boot.rst).
"""

from __future__ import annotations

import functools
import gzip
import lzma
import shutil
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

#: Where loaders put what follows the first sectors of a bzImage.
_LOADED_AT = 0x100000
_BEGIN = """
    .code32
    .globl _start
_start:
    cli
    cld
    movl $tables, %edi
    xorl %eax, %eax
    movl $(6 * 4096 / 4), %ecx
    rep stosl
    movl $(tables + 4096 + 3), tables
    movl $(tables + 2 * 4096 + 3), %eax
    movl $(tables + 4096), %edi
    movl $4, %ecx
1:  movl %eax, (%edi)
    addl $4096, %eax
    addl $8, %edi
    loop 1b
    movl $0x83, %eax
    movl $(tables + 2 * 4096), %edi
    movl $2048, %ecx
2:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 2b
    lgdt descriptor
    movl $0x20, %eax
    movl %eax, %cr4
    movl $tables, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl $0x80000001, %eax
    movl %eax, %cr0
    ljmp $0x10, $long
    .code64
long:
    movl $0x18, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    /* The kernel lies behind this and belongs higher up: its last word goes first. */
    movl %esi, %edx
    movl $(SIZE / 8), %ecx
    movl $(kernel + SIZE - 8), %esi
    movl $(TARGET + SIZE - 8), %edi
    std
    rep movsq
    cld
    movl %edx, %esi
    movl $ENTRY, %eax
    jmp *%rax
    .balign 16
segments:
    .quad 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff
descriptor:
    .word . - segments - 1
    .long segments
    .balign 4096
tables:
    .skip 6 * 4096
kernel:
"""


@functools.lru_cache(maxsize=1)
def unpacked(image: Path) -> bytes:
    """A bzImage for BIOS that begins at once; the image as it is where it cannot be unpacked here."""
    packed = image.read_bytes()
    try:
        return _rebuilt(packed)
    except (ValueError, struct.error, lzma.LZMAError, zlib.error, OSError):
        return packed


def _rebuilt(image: bytes) -> bytes:
    (version,) = struct.unpack_from("<H", image, 0x206)
    if image[0x202:0x206] != b"HdrS" or version < 0x208:
        raise ValueError("no bzImage that tells where its payload is")
    if not shutil.which("as") or not shutil.which("ld"):
        raise ValueError("no assembler")
    first = (image[0x1F1] + 1) * 512
    offset, length = struct.unpack_from("<II", image, 0x248)
    kernel, entry, target = _flat(_unpack(image[first + offset:first + offset + length]))
    body = _begin(len(kernel), entry, target) + kernel
    setup = bytearray(image[:first])
    struct.pack_into("<I", setup, 0x1F4, len(body) // 16)
    # It is loaded where it says, has no entry for 64-bit or EFI loaders, and no payload.
    setup[0x234] = 0
    struct.pack_into("<H", setup, 0x236, 0)
    struct.pack_into("<II", setup, 0x248, 0, 0)
    struct.pack_into("<I", setup, 0x264, 0)
    return bytes(setup) + body


def _unpack(payload: bytes) -> bytes:
    if payload.startswith(b"\xfd7zXZ"):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(b"\x1f\x8b"):
        return gzip.decompress(payload[:-4])
    raise ValueError("a packing that is not known here")


def _flat(elf: bytes) -> tuple[bytes, int, int]:
    """A kernel's memory without the zeros at its end, where it is entered, and where it begins."""
    if elf[:5] != b"\x7fELF\x02":
        raise ValueError("no 64-bit kernel")
    entry, headers = struct.unpack_from("<QQ", elf, 24)
    (count,) = struct.unpack_from("<H", elf, 56)
    parts = [struct.unpack_from("<IIQQQQQQ", elf, headers + 56 * number) for number in range(count)]
    loaded = [(at, elf[offset:offset + size]) for kind, _, offset, _, at, size, _, _ in parts if kind == 1]
    target = min(at for at, _data in loaded)
    memory = bytearray(max(at + len(data) for at, data in loaded) - target)
    for at, data in loaded:
        memory[at - target:at - target + len(data)] = data
    kernel = bytes(memory).rstrip(b"\0")
    return kernel + bytes(-len(kernel) % 16), entry, target


def _begin(size: int, entry: int, target: int) -> bytes:
    """The instructions, which end where the kernel is loaded behind them."""
    with tempfile.TemporaryDirectory(prefix="nova-kernel-") as name:
        source, made, linked = (Path(name) / each for each in ("begin.S", "begin.o", "begin"))
        source.write_text(_BEGIN)
        sizes = [f"--defsym={symbol}={value}" for symbol, value in (
            ("SIZE", size), ("ENTRY", entry), ("TARGET", target)
        )]
        for command in (
            ["as", "--64", *sizes, "-o", str(made), str(source)],
            ["ld", f"-Ttext={_LOADED_AT:#x}", "--oformat=binary", "-o", str(linked), str(made)],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise ValueError(done.stderr)
        return linked.read_bytes()
