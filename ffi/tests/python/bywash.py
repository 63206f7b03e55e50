"""The C interface of Bywash from Python, with ctypes alone: what an integrator would write.

A writer takes whatever has `__arrow_c_stream__`; a partition is an object that has it.
"""

import ctypes
import os
from ctypes import (
    CFUNCTYPE, POINTER, Structure, byref, c_char_p, c_int, c_int32, c_size_t, c_uint32, c_uint64,
    c_void_p, py_object, pythonapi, sizeof,
)


class Schema(Structure):
    _fields_ = [
        ("format", c_char_p), ("name", c_char_p), ("metadata", c_void_p), ("flags", ctypes.c_int64),
        ("n_children", ctypes.c_int64), ("children", c_void_p), ("dictionary", c_void_p),
        ("release", c_void_p), ("private_data", c_void_p),
    ]


class Stream(Structure):
    _fields_ = [
        ("get_schema", c_void_p), ("get_next", c_void_p), ("get_last_error", c_void_p),
        ("release", c_void_p), ("private_data", c_void_p),
    ]


class PartitionInfo(Structure):
    _fields_ = [("struct_size", c_uint32), ("crc32c", c_uint32), ("bytes", c_uint64), ("rows", c_uint64)]


class Error(Exception):
    def __init__(self, code, action, message):
        super().__init__(f"{message} (status {code}, action {action})")
        self.code, self.action = code, action


LIBRARY = ctypes.CDLL(os.environ["BYWASH_LIBRARY"])
LIBRARY.bywash_error_message.restype = c_char_p
LIBRARY.bywash_version_string.restype = c_char_p


def call(name, *arguments):
    """Calls a function whose last argument is a place for an error."""
    error = c_void_p()
    code = getattr(LIBRARY, name)(*arguments, byref(error))
    if code != 0:
        message = LIBRARY.bywash_error_message(error).decode()
        action = LIBRARY.bywash_error_action(error)
        LIBRARY.bywash_error_free(error)
        raise Error(code, action, message)


class Handle:
    """An opaque pointer, freed with its object, in whatever order Python pleases."""

    def __init__(self, kind, name, *arguments):
        self._free = getattr(LIBRARY, f"bywash_{kind}_free")
        # What ctypes passes where the object is an argument, and so kept alive.
        self._as_parameter_ = c_void_p()
        call(name, *arguments, byref(self._as_parameter_))

    def __del__(self):
        self._free(self._as_parameter_)


def options(**settings):
    handle = Handle("options", "bywash_options_new")
    for key, value in settings.items():
        key = key.replace("__", ".").encode()
        call("bywash_options_set", handle, key, str(value).encode())
    return handle


class Context(Handle):
    def __init__(self, **settings):
        super().__init__("context", "bywash_context_new", options(**settings), None)

    def explain(self):
        json = c_void_p()
        call("bywash_explain", self, byref(json))
        text = ctypes.string_at(json).decode()
        LIBRARY.bywash_string_free(json)
        return text

    def task(self, minimum=0):
        return Handle("task", "bywash_task_new", self, c_uint64(minimum))


class Shuffle(Handle):
    """Of rows of `schema`, whatever has `__arrow_c_schema__`."""

    def __init__(self, schema, partitions, hash_columns=(), **settings):
        capsule = schema.__arrow_c_schema__()
        columns = (c_uint32 * len(hash_columns))(*hash_columns)
        super().__init__(
            "shuffle", "bywash_shuffle_new", pointer_in(capsule, b"arrow_schema"), c_uint32(partitions),
            columns, c_size_t(len(columns)), options(**settings),
        )
        self.partitions = partitions

    def minimum_budget(self, tasks):
        minimum = c_uint64()
        call("bywash_shuffle_minimum_budget", self, c_size_t(tasks), byref(minimum))
        return minimum.value


class Writer(Handle):
    def __init__(self, shuffle, task, directory, map_id, attempt=0):
        super().__init__(
            "writer", "bywash_writer_new", shuffle, task, str(directory).encode(),
            c_uint64(map_id), c_uint64(attempt),
        )

    def push(self, rows):
        """Takes all batches of whatever has `__arrow_c_stream__`, and consumes it."""
        capsule = rows.__arrow_c_stream__()
        stream = pointer_in(capsule, b"arrow_array_stream")
        call("bywash_writer_push_stream", self, stream)
        assert not ctypes.cast(stream, POINTER(Stream)).contents.release, "consumed"

    def finish(self):
        return Output("bywash_writer_finish", self)


class Output(Handle):
    def __init__(self, name, *arguments):
        super().__init__("output", name, *arguments)

    def info(self, partition):
        info = PartitionInfo(struct_size=sizeof(PartitionInfo))
        call("bywash_output_partition", self, c_uint32(partition), byref(info))
        return info

    def partition(self, partition):
        return Partition(self, partition)


class Partition:
    """Rows of one partition. Each time it is asked for a stream it reads anew, so that a consumer may
    ask twice; one that asks and does not read has its stream released with the capsule."""

    def __init__(self, output, partition):
        self.output, self.partition = output, partition

    def __arrow_c_stream__(self, requested_schema=None):
        stream = Stream()
        call("bywash_output_read", self.output, None, c_uint32(self.partition), byref(stream))
        return capsule_of(stream)


def pointer_in(capsule, name):
    get = pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = c_void_p, [py_object, c_char_p]
    return c_void_p(get(capsule, name))


# Capsules whose consumer did not move the stream out: their destructor releases it (nanoarrow does not
# move). The struct is kept by address until then.
_KEPT = {}
_DESTRUCTOR = CFUNCTYPE(None, c_void_p)
_RELEASE = CFUNCTYPE(None, c_void_p)
_NAME = b"arrow_array_stream"


@_DESTRUCTOR
def _destroy(capsule):
    get = ctypes.PYFUNCTYPE(c_void_p, c_void_p, c_char_p)(("PyCapsule_GetPointer", pythonapi))
    stream = _KEPT.pop(get(capsule, _NAME))
    if stream.release:
        _RELEASE(stream.release)(ctypes.addressof(stream))


def capsule_of(stream):
    new = pythonapi.PyCapsule_New
    new.restype, new.argtypes = py_object, [c_void_p, c_char_p, c_void_p]
    _KEPT[ctypes.addressof(stream)] = stream
    return new(ctypes.addressof(stream), _NAME, ctypes.cast(_destroy, c_void_p))


def streams_kept():
    return len(_KEPT)
