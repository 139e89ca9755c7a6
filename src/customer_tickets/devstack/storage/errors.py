"""PURE: everything the storage API refuses, in the words of hosted projects.

The HTTP status is nearly always 400; `statusCode` in the body tells what it is about. Clients read
the body.
"""

from collections.abc import Mapping

import psycopg

__all__ = ["StorageError", "from_postgres"]


class StorageError(Exception):
    """A refusal: becomes the answer `{"statusCode", "error", "code", "message"}`."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        error: str | None = None,
        http: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.error = code if error is None else error
        self.http = http if http is not None else (500 if status == 500 else 400)
        self.headers = headers

    def body(self) -> dict[str, str]:
        """What the client gets."""
        return {
            "statusCode": str(self.status),
            "error": self.error,
            "message": self.message,
            "code": self.code,
        }


def no_such_bucket() -> StorageError:
    """There is no such bucket, or the caller may not see it."""
    return StorageError(404, "NoSuchBucket", "Bucket not found", error="Bucket not found")


def no_such_key() -> StorageError:
    """There is no such object, or the caller may not see it."""
    return StorageError(404, "NoSuchKey", "Object not found", error="not_found")


def file_missing() -> StorageError:
    """The row is there, its file is not."""
    return StorageError(404, "NoSuchKey", "The resource was not found", error="Not found")


def no_route(method: str, path: str) -> StorageError:
    """Nothing is served at this path."""
    words = f"Route {method}:{path} not found"
    return StorageError(404, "InvalidRequest", words, error="Not Found", http=404)


def access_denied(message: str) -> StorageError:
    """The token is not good, or a policy says no."""
    return StorageError(403, "AccessDenied", message, error="Unauthorized")


def duplicate(code: str) -> StorageError:
    """Something of that name exists."""
    return StorageError(409, code, "The resource already exists", error="Duplicate")


def bucket_not_empty() -> StorageError:
    """A bucket with objects cannot be deleted."""
    return StorageError(409, "ResourceNotEmpty", "The bucket you tried to delete is not empty")


def too_large(entity: str = "object") -> StorageError:
    """More bytes than the bucket, the project or the field takes."""
    message = f"The {entity} exceeded the maximum allowed size"
    return StorageError(413, "EntityTooLarge", message, error="Payload too large")


def invalid_type(mimetype: str) -> StorageError:
    """The bucket does not take this type of content."""
    message = f"mime type {mimetype} is not supported"
    return StorageError(415, "InvalidMimeType", message, error="invalid_mime_type")


def invalid_key(key: str) -> StorageError:
    """The name has characters that no object may have."""
    return StorageError(400, "InvalidKey", f"Invalid key: {key}")


def invalid_bucket_name() -> StorageError:
    """The name has characters that no bucket may have."""
    return StorageError(400, "InvalidBucketName", "Bucket name invalid", error="Invalid Input")


def invalid_request(message: str) -> StorageError:
    """The body, a header or a parameter is not what is served here."""
    return StorageError(400, "InvalidRequest", message, error="Error")


def invalid_parameter(message: str) -> StorageError:
    """A value that the database has no place for, or a cursor that is none."""
    return StorageError(400, "InvalidParameter", message)


def no_content(message: str = "No content provided") -> StorageError:
    """An upload without a file, or one that ended in the middle."""
    return StorageError(400, "InvalidRequest", message)


def invalid_signature(message: str = "Invalid signature") -> StorageError:
    """The token of a signed address is for something else."""
    return StorageError(400, "InvalidSignature", message)


def invalid_jwt(message: str) -> StorageError:
    """The token of a signed address is forged or too old."""
    return StorageError(400, "InvalidJWT", message)


def invalid_header(name: str) -> StorageError:
    """A value in the object's row cannot be said in a header."""
    message = f'Invalid character in response header "{name}"'
    return StorageError(400, "InvalidRequest", message, error="invalid_header_char")


def unsatisfiable_range(size: int) -> StorageError:
    """The range begins behind the end."""
    message = "The requested range is not satisfiable"
    headers = {"Content-Range": f"bytes */{size}"}
    return StorageError(416, "InvalidRange", message, http=416, headers=headers)


def no_room() -> StorageError:
    """The disk is full."""
    return StorageError(500, "InternalError", "No space is left for the object")


def internal() -> StorageError:
    """Something is wrong in here."""
    return StorageError(500, "InternalError", "Internal Server Error", error="Internal")


def from_postgres(error: psycopg.Error) -> StorageError:
    """Translate what the database raised, as hosted projects do. Row values stay out of it."""
    state = error.sqlstate
    if state is None and isinstance(error, psycopg.OperationalError):
        state = "57014"
    match state:
        case "42501":
            message = error.diag.message_primary or "Access denied"
            if "row-level security" in message:
                message = "new row violates row-level security policy"
            return access_denied(message)
        case "23505":
            return duplicate("ResourceAlreadyExists")
        case "23503":
            if "is still referenced" in (error.diag.message_detail or ""):
                words = (
                    "The resource could not be updated or removed due to a foreign key constraint"
                )
                return StorageError(409, "ResourceReferenced", words)
            words = "The related resource does not exist"
            return StorageError(404, "InvalidRequest", words)
        case "55P03":
            return StorageError(423, "ResourceLocked", "The resource is locked")
        case "57014" | "57P01" | "57P03":
            words = "The connection to the database timed out"
            return StorageError(544, "DatabaseTimeout", words, http=544)
        case "22P02" | "22P05" | "22007" | "22008":
            return invalid_parameter(
                error.diag.message_primary or "Invalid value format or type conversion failed"
            )
        case None:
            # Refused by the driver before it reached the database: a NUL or a lone surrogate.
            return invalid_parameter("Invalid Parameter value")
        case _:
            return StorageError(500, "DatabaseError", f"database error, code: {state}")
