"""Texts of varying length in an HDF5 file, read without HDF5.

HDF5 1.14.6 believes what a damaged file says about them: it allocates as many bytes as a reference claims (seen:
3 GB) and loops for ever on a heap object of size zero. So the two structures are read here, with bounds.

A dataset of such texts holds references of 16 bytes: length (4), address of a heap (8), object in it (4). A heap is
'GCOL', version 1, three bytes, its size (8); then objects: index (2), references (2), reserved (4), size (8), data
padded to 8 bytes. Object 0 is what is free; its size counts the header. All little-endian.
(HDF5 File Format Specification 3.0, sections III.E and IV.A.2.d.)
"""

from __future__ import annotations

from io import BufferedReader
from typing import Final

import attrs
import h5py

MAX_HEAP_BYTES: Final = 2**26
"""Bytes of all heaps that are read; HDF5 writes them by 4096."""
_REFERENCE: Final = 16


class TextError(ValueError):
    """A text that is not where the file says, or too long."""


@attrs.define(eq=False)
class Texts:
    """The texts of one open file.

    base: where HDF5's addresses count from, after a user block.
    """

    file: BufferedReader
    size: int
    base: int = 0
    heaps: dict[int, dict[int, bytes]] = attrs.field(factory=dict)
    heap_bytes: int = 0

    @classmethod
    def of(cls, file: h5py.File, raw: BufferedReader) -> Texts:
        """For an open HDF5 file and the same file as bytes. Raises TextError for sizes nobody uses."""
        sizes = file.id.get_create_plist().get_sizes()
        if sizes != (8, 8):
            raise TextError(f"addresses and lengths of {sizes} bytes are not read, only of 8")
        return cls(file=raw, size=raw.seek(0, 2), base=file.userblock_size)

    def read(self, dataset: h5py.Dataset, limit: int) -> list[bytes]:
        """All texts of a dataset, in C order. Raises TextError where one of them cannot be had, or is over `limit`."""
        offset = dataset.id.get_offset()
        if offset is None:
            raise TextError("texts in chunks or in the header are not read; write the dataset without compression")
        count = dataset.size
        raw = self._bytes(offset, count * _REFERENCE)
        return [self._text(raw[i : i + _REFERENCE], limit) for i in range(0, len(raw), _REFERENCE)]

    def _text(self, reference: bytes, limit: int) -> bytes:
        length, address, index = (int.from_bytes(reference[a:b], "little") for a, b in ((0, 4), (4, 12), (12, 16)))
        if length == 0:
            return b""
        if length > limit:
            raise TextError(f"the text is too long: {length} bytes, the limit is {limit}")
        if address not in self.heaps:
            self.heaps[address] = self._heap(self.base + address)
        data = self.heaps[address].get(index)
        if data is None or len(data) < length:
            raise TextError(f"the file is damaged: no text {index} of {length} bytes in the heap at byte {address}")
        # a fixed C string may be stored with what follows its end
        return data[:length].split(b"\0", 1)[0]

    def _heap(self, start: int) -> dict[int, bytes]:
        head = self._bytes(start, 16)
        size = int.from_bytes(head[8:16], "little")
        self.heap_bytes += size
        if head[:5] != b"GCOL\x01" or size < 16 or self.heap_bytes > MAX_HEAP_BYTES:
            raise TextError(f"the file is damaged: no text heap at byte {start}")
        data = self._bytes(start, size)
        found: dict[int, bytes] = {}
        at = 16
        while at + 16 <= size:
            index = int.from_bytes(data[at : at + 2], "little")
            length = int.from_bytes(data[at + 8 : at + 16], "little")
            if index == 0:
                break
            if at + 16 + length > size:
                raise TextError(f"the file is damaged: the text heap at byte {start} does not add up")
            found[index] = data[at + 16 : at + 16 + length]
            at += 16 + -(-length // 8) * 8
        return found

    def _bytes(self, start: int, count: int) -> bytes:
        if start < 0 or count < 0 or start + count > self.size:
            raise TextError(f"the file is damaged: {count} bytes at byte {start} lie outside of it")
        self.file.seek(start)
        return self.file.read(count)
