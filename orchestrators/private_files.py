"""Folders and files for this user alone, with any umask, and none that another user could have prepared."""

import errno
import os
import stat
from pathlib import Path

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class NotPrivate(PermissionError):
    """A folder or file that another user owns or may write to."""

    def __init__(self, path: Path, reason: str, remedy: str) -> None:
        super().__init__(errno.EPERM, f"it {reason}; {remedy}", str(path))
        self.path = path
        self.reason = reason
        """A clause such as `belongs to another user`."""
        self.remedy = remedy


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone. One that is there stays as it is."""
    missing = []
    above = folder
    while not above.exists():
        missing.append(above)
        above = above.parent
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)


def write_private(path: Path, content: bytes) -> None:
    """Write a file for this user alone, and make its folder where it is missing.

    Readers see the whole of the file or the one before it, also where two processes write at once. Raises `OSError`.
    """
    make_private(path.parent)
    part = path.with_name(f".{os.urandom(16).hex()}")
    try:
        with open(part, "xb", opener=_opener) as file:
            file.write(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def private_folder(folder: Path, within: Path) -> Path:
    """`folder`, made where it is missing; it and those above it, as far as `within`, are this user's alone to write.

    Raises `NotPrivate`, and `OSError` where it cannot be made.
    """
    make_private(folder)
    for one in (within, *reversed([above for above in folder.parents if within in above.parents]), folder):
        check_private(one)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    return folder


def check_private(path: Path) -> None:
    """Raise `NotPrivate` where another user, root apart, owns `path` or may write to it, as ssh does in StrictModes.

    What is not there is private. A folder that only this user's own group may write to is closed to it: that is how
    folders are made where each user has such a group.
    """
    try:
        link, found = path.lstat(), path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    for one in (link, found):
        if one.st_uid not in (os.geteuid(), 0):
            raise NotPrivate(path, f"belongs to another user (uid {one.st_uid})", "move it away")
    if not found.st_mode & _OTHERS_WRITE:
        return
    if found.st_uid == os.geteuid() and not found.st_mode & stat.S_IWOTH and _is_own_group(found.st_gid):
        path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS_WRITE)
        return
    who = "every user" if found.st_mode & stat.S_IWOTH else "its group"
    mode = "go-rwx" if stat.S_ISDIR(found.st_mode) else "go-w"
    raise NotPrivate(
        path,
        f"may be written to by {who}",
        f"check that no other user has put anything there, then `chmod {mode} {path}`",
    )


def _is_own_group(gid: int) -> bool:
    """Whether a group is this user's private one: it has the user's name and no other members."""
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    return user.pw_gid == gid and group.gr_name == user.pw_name and not set(group.gr_mem) - {user.pw_name}
