"""HDF5 read with distrust: sizes checked before a byte of data is read, and nothing outside the file followed.

An external link, external storage or a virtual dataset would read the user's other files; a link cycle never ends; a
declared shape may be terabytes. What is refused is written into a `Notebook` and answered with None.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import h5py
import numpy as np

from hal.errors import ModelError
from hal.nir.h5text import Texts
from hal.nir.raw import MAX_NAME, MAX_RANK, Notebook, place

MAX_FILE_BYTES = 2**30
"""Size of the file on disk."""
MAX_DATASET_BYTES = 2**28
"""Size of one dataset in memory: 67 million float32 weights."""
MAX_TOTAL_BYTES = 2**30
"""Size of all datasets of a file in memory."""
MAX_LINKS = 65_536
"""Links in all groups that are visited."""
_FILTERS: Final = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf"}
HDF5_FAULTS: Final = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError)
"""What h5py raises on damaged bytes, depending on where they lie."""


def open_guarded(path: Path) -> h5py.File:
    """Open for reading, or say why this is no HDF5 file."""
    if not path.exists():
        raise ModelError(f"{path}: there is no such file", path=str(path))
    if not path.is_file():
        raise ModelError(f"{path}: not a regular file", path=str(path))
    size = path.stat().st_size
    if size == 0:
        raise ModelError(f"{path}: the file is empty (0 bytes), not an HDF5 file", path=str(path))
    if size > MAX_FILE_BYTES:
        raise ModelError(f"{path}: {size} bytes are over the limit of {MAX_FILE_BYTES}", path=str(path), value=size)
    try:
        # is_hdf5 says no to a file that may not be read
        path.open("rb").close()
        if not h5py.is_hdf5(path):
            raise ModelError(
                f"{path}: not an HDF5 file",
                hint="a NIR model is written by nir.write(); a PyTorch checkpoint must be exported first",
                path=str(path),
            )
        return h5py.File(path, "r")
    except OSError as error:
        raise ModelError(_why_not_open(path, size, str(error)), path=str(path)) from error


def _why_not_open(path: Path, size: int, text: str) -> str:
    if isinstance(stored := re.search(r"stored_eof = (\d+)", text), re.Match):
        return f"{path}: the file is truncated: it should have {stored[1]} bytes and has {size}"
    return f"{path}: the file cannot be opened: {text}"


@attrs.define(eq=False)
class Guard:
    """One pass over one file: what was counted so far, and what is wrong."""

    book: Notebook
    words: Texts
    bytes_read: int = 0
    links: int = 0
    groups: dict[int, str] = attrs.field(factory=dict)
    """Address of each group seen -> its name: a second link to one is a cycle or a copy of copies."""

    def again(self, group: h5py.Group, where: str) -> bool:
        """Whether the group was met before; then it is refused."""
        address = int(h5py.h5o.get_info(group.id).addr)
        if address in self.groups:
            what = f"link cycle or second link: this group is also {self.groups[address]}"
            self.book.fault(what, where, hint="every group must be linked once")
            return True
        self.groups[address] = where
        return False

    def children(self, group: h5py.Group, where: str) -> Iterator[tuple[str, Any]]:
        """The objects of a group behind plain hard links; all other links are faults."""
        count = len(group)
        self.links += count
        if self.links > MAX_LINKS:
            self.book.fault("too many links in the file", where, value=self.links, limit=MAX_LINKS)
            return
        for key in group:
            here = f"{where}, link {key!r}"
            if not isinstance(key, str):
                self.book.fault("the name is not UTF-8", here)
                continue
            try:
                link = group.get(key, getlink=True)
            except HDF5_FAULTS as error:
                self.book.fault(f"a link of a kind that NIR does not use ({error})", here)
                continue
            if isinstance(link, h5py.ExternalLink):
                target = f"{link.filename}:{link.path}"
                self.book.fault("external link into another file", here, value=target, hint="copy the data in")
            elif isinstance(link, h5py.SoftLink):
                self.book.fault("soft link", here, value=link.path, hint="write the data itself, or a hard link")
            else:
                try:
                    child = group[key]
                except HDF5_FAULTS as error:
                    self.book.fault(f"the object cannot be opened: {error}", here)
                    continue
                yield key, child

    def array(self, dataset: h5py.Dataset, name: str, key: str) -> np.ndarray[Any, Any] | None:
        """The numbers of a dataset, after every check that can be made without reading them."""
        where = place(name, key)
        dtype = dtype_of(dataset)
        if dtype is None or dtype.kind not in "biuf":
            self.book.fault("not numbers: the dtype cannot be used", where, _shown(dataset), "a real number dtype")
            return None
        if not self.readable(dataset, where, dtype.itemsize):
            return None
        try:
            return np.asarray(dataset[()])
        except HDF5_FAULTS as error:
            self.book.fault(f"the data cannot be read: {error}", where)
            return None

    def readable(self, dataset: h5py.Dataset, where: str, itemsize: int) -> bool:
        """Storage inside the file, size under the limits."""
        creation = dataset.id.get_create_plist()
        if creation.get_external_count():
            other = creation.get_external(0)[0].decode("utf8", "replace")
            self.book.fault("external storage: the data lie in another file", where, value=other)
            return False
        if creation.get_layout() == h5py.h5d.VIRTUAL:
            self.book.fault("virtual dataset: the data lie elsewhere", where, hint="write the data itself")
            return False
        if dataset.shape is None:
            self.book.fault("the dataset has no value", where)
            return False
        size = math.prod(dataset.shape) * itemsize
        chunk = math.prod(dataset.chunks or (0,)) * itemsize
        shape = f"{dataset.shape} = {size} bytes"
        if len(dataset.shape) > MAX_RANK:
            self.book.fault("too many axes", where, value=dataset.shape, limit=f"{MAX_RANK} axes")
        elif max(size, chunk) > MAX_DATASET_BYTES:
            self.book.fault("the declared shape is over the limit", where, shape, f"{MAX_DATASET_BYTES} bytes")
        elif self.bytes_read + size > MAX_TOTAL_BYTES:
            self.book.fault("all datasets together are over the limit", where, shape, f"{MAX_TOTAL_BYTES} bytes")
        elif size and dataset.id.get_storage_size() == 0:
            self.book.fault("declared but never written", where, value=shape)
        elif unknown := _unknown_filters(creation):
            self.book.fault(f"compressed by a filter that is not loaded: {unknown}", where, hint="write it with gzip")
        else:
            self.bytes_read += size
            return True
        return False

    def text(self, dataset: h5py.Dataset, name: str, key: str) -> str | None:
        """A single text value."""
        where = place(name, key) if name else f"the root graph, field {key!r}"
        if not is_text(dataset) or dataset.shape not in ((), (1,)):
            self.book.fault("not a single text", where, value=f"{dtype_of(dataset)} {dataset.shape}", limit="a string")
            return None
        itemsize = dataset.dtype.itemsize
        if itemsize > 4 * MAX_NAME:
            self.book.fault("the text is too long", where, value=f"{itemsize} bytes", limit=f"{MAX_NAME} characters")
            return None
        if not self.readable(dataset, where, itemsize):
            return None
        found = self.texts(dataset, where)
        return found[0] if found else None

    def texts(self, dataset: h5py.Dataset, where: str, limit: int = 4 * MAX_NAME) -> list[str] | None:
        """All texts of a dataset that was found readable, each of at most `limit` bytes, in C order."""
        try:
            info = h5py.check_string_dtype(dataset.dtype)
            fixed = info is not None and info.length is not None
            raw = np.asarray(dataset[()]).reshape(-1).tolist() if fixed else self.words.read(dataset, limit)
            return [text.decode("utf8") for text in raw]
        except UnicodeDecodeError as error:
            self.book.fault("the text is not UTF-8", where, value=error.object[:40])
        except HDF5_FAULTS as error:
            self.book.fault(f"the text cannot be read: {error}", where)
        return None


def dtype_of(dataset: h5py.Dataset) -> np.dtype[Any] | None:
    """The numpy dtype, or None where there is none for it."""
    try:
        dtype: np.dtype[Any] = np.dtype(dataset.dtype)
    except HDF5_FAULTS:
        return None
    return dtype


def _shown(dataset: h5py.Dataset) -> str:
    """A dtype in words: numpy calls all of these 'object'."""
    dtype = dtype_of(dataset)
    if dtype is None:
        return "a type that numpy does not have"
    if is_text(dataset):
        return "strings"
    if h5py.check_vlen_dtype(dtype) is not None:
        return "arrays of varying length"
    return "references" if h5py.check_ref_dtype(dtype) is not None else str(dtype)


def is_text(dataset: h5py.Dataset) -> bool:
    """Whether the dataset holds strings, fixed or of varying length."""
    dtype = dtype_of(dataset)
    return dtype is not None and h5py.check_string_dtype(dtype) is not None


def _unknown_filters(creation: Any) -> str:
    """Names of filters that HDF5 would look for in a plug-in folder."""
    found = [creation.get_filter(i) for i in range(creation.get_nfilters())]
    return ", ".join(f"{f[0]} {f[3].decode('utf8', 'replace')}" for f in found if f[0] not in _FILTERS)
