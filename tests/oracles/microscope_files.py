"""Files as microscopes' own programs lay them out, written byte by byte from the formats' layout.

Only what a reader needs: one image of float32 (dm), int16 (mrc, ser) and its pixel size.
"""

import struct

import numpy as np

FLOAT, DOUBLE, ULONG = 6, 7, 5  # types of Digital Micrograph's tags


def digital_micrograph(image, pixel, unit="nm", version=3, claimed=None):
    """A .dm3 or .dm4: tags as a tree, names big-endian, values little-endian."""
    image = np.asarray(image, "<f4")
    height, width = claimed or image.shape
    word = ">q" if version == 4 else ">l"

    def data(name, info, value):
        body = b"%%%%" + struct.pack(word, len(info))
        body += b"".join(struct.pack(word, n) for n in info) + value
        return header(21, name, body)

    def header(kind, name, body):
        size = struct.pack(">q", len(body)) if version == 4 else b""
        return struct.pack(">bh", kind, len(name)) + name.encode() + size + body

    def group(name, *tags):
        body = struct.pack(">bb", 1, 0) + struct.pack(word, len(tags)) + b"".join(tags)
        return header(20, name, body)

    def number(name, value):
        return data(name, (ULONG,), struct.pack("<L", value))

    def text(name, value):
        return data(name, (20, 4, len(value)), value.encode("utf-16-le"))

    def scale(edge, unit):
        numbers = [data(n, (FLOAT,), struct.pack("<f", v)) for n, v in (("Origin", 0), edge)]
        return group("", *numbers, text("Units", unit))

    bright = group(
        "Brightness",
        data("Origin", (FLOAT,), struct.pack("<f", 0)),
        data("Scale", (FLOAT,), struct.pack("<f", 1)),
        text("Units", "e"),
    )
    axis = scale(("Scale", pixel), unit)
    pixels = group(
        "ImageData",
        group("Calibrations", bright, group("Dimension", axis, axis)),
        data("Data", (20, FLOAT, image.size), image.tobytes()),
        number("DataType", 2),
        group("Dimensions", number("", width), number("", height)),
        number("PixelDepth", 4),
    )
    tags = group("ImageTags", number("nothing", 1))
    root = [group("ImageList", group("", pixels, tags, text("Name", "grid")))]
    body = struct.pack(">bb", 1, 0) + struct.pack(word, len(root)) + b"".join(root)
    start = struct.pack(">l", version) + struct.pack(word, len(body)) + struct.pack(">l", 1)
    return start + body + b"\0" * 8


def mrc(image, pixel_nm, claimed=None):
    """An .mrc: 1,024 bytes of header in ångström, then rows of int16."""
    image = np.asarray(image, "<i2")
    height, width = claimed or image.shape
    head = struct.pack("<10i", width, height, 1, 1, 0, 0, 0, width, height, 1)
    head += struct.pack("<6f", width * pixel_nm * 10, height * pixel_nm * 10, 1, 90, 90, 90)
    head += struct.pack("<3i", 1, 2, 3)
    return head.ljust(1024, b"\0") + image.tobytes()


def ser(image, pixel_nm, claimed=None, elements=1, words=b"Number"):
    """A .ser of the TIA program: one image of int16, its rows from the bottom, sizes in metres."""
    image = np.asarray(image, "<i2")[::-1]
    height, width = claimed or image.shape
    axis = struct.pack("<lddl", elements, 0.0, 1.0, 0) + struct.pack("<l", len(words)) + words
    axis += struct.pack("<l", 0)
    offsets = 30 + len(axis)
    start = offsets + 8
    head = struct.pack("<HHHLLLL", 0x4949, 0x0197, 0x0210, 0x4122, 0x4152, elements, elements)
    head += struct.pack("<LL", offsets, 1)
    step = pixel_nm * 1e-9
    body = struct.pack("<ddl", 0.0, step, 0) * 2 + struct.pack("<hll", 5, width, height)
    body += image.tobytes()
    tag = struct.pack("<HH", 0x4152, 0) + struct.pack("<l", 0)
    return head + axis + struct.pack("<LL", start, start + len(body)) + body + tag


def berkeley_emd(path, image, pixel_nm):
    """An .emd of the Berkeley layout: HDF5 with axes x and y beside the data, x first."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["version_major"], file.attrs["version_minor"] = 0, 2
        group = file.create_group("data/grid")
        group.attrs["emd_group_type"] = 1
        group["data"] = np.asarray(image).T
        for k, (name, size) in enumerate(zip("xy", image.T.shape, strict=True), start=1):
            axis = group.create_dataset(f"dim{k}", data=np.arange(size) * pixel_nm)
            axis.attrs["name"], axis.attrs["units"] = name, "[n_m]"
