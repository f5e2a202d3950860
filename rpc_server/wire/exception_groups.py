"""What a task group raises: perhaps one exception, perhaps several in a group.

`except*` would do, but for Python 3.11.0 to 3.11.3, which lose what is raised inside of it.
"""

from collections.abc import Iterator


def leaves(error: BaseException) -> Iterator[BaseException]:
    """`error` itself, or each exception that a group holds, however deep."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def first_of(error: BaseException, *kinds: type[BaseException]) -> BaseException | None:
    """The first of the exceptions in `error` if all of them are of `kinds`, else None."""
    found = list(leaves(error))
    return found[0] if all(isinstance(one, kinds) for one in found) else None
