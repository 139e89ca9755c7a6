"""The customer's side of support tickets on Supabase."""

from ._client import AsyncCustomerTickets
from ._draft_content import UNSET, Submitted, Unset
from ._draft_editor import AsyncDraftEditor, EditorState
from ._errors import (
    Busy,
    ClientClosed,
    Conflict,
    CustomerTicketsError,
    DraftConflict,
    ExportDamaged,
    ExportFailed,
    FieldError,
    FileChanged,
    FileDamaged,
    InvalidInput,
    NotAllowed,
    NotFound,
    Offline,
    RateLimited,
    RatingWindowOver,
    ReopenWindowOver,
    SignInFailed,
    SignInRequired,
    SignUpFailed,
    StoreFailed,
    TicketClosedError,
    TicketNotClosed,
    Unavailable,
    UnexpectedAnswer,
)
from ._events import (
    FeedStopped,
    MessageAdded,
    OtherEvent,
    StatusChanged,
    StopReason,
    TicketAssigned,
    TicketChanged,
    TicketClosed,
    TicketCreated,
    TicketEdited,
    TicketEvent,
    TicketRated,
    TicketReopened,
)
from ._export import ExportReport
from ._export_zip import verify_export
from ._files import FileSource, Upload
from ._live.feed import FeedState
from ._live.list_feed import AsyncTicketListFeed
from ._live.people import AsyncPeople, PeopleState, Person, Presence
from ._live.ticket_feed import AsyncTicketFeed
from ._models import (
    Attachment,
    Counts,
    Draft,
    Feedback,
    Message,
    Organization,
    Permission,
    Permissions,
    Priority,
    Role,
    SortKey,
    Status,
    Ticket,
    User,
)
from ._progress import Progress, ProgressTo
from ._resources.attachments import AsyncAttachments
from ._resources.drafts import AsyncDrafts
from ._resources.organizations import AsyncOrganizations
from ._resources.tickets import AsyncTicketPage
from ._rows import History, Messages
from ._stores import FileStore, MemoryStore, SessionStore
from ._sync import (
    Attachments,
    CustomerTickets,
    DraftEditor,
    Drafts,
    Organizations,
    TicketPage,
    TicketThread,
)
from ._sync_feed import TicketFeed, TicketListFeed, Watch
from ._sync_people import People
from ._thread import AsyncTicketThread
from ._uploads import AttachmentSource
from ._view import Verification
from ._watch import AsyncWatch

__version__ = "0.1.0"

__all__ = [
    "UNSET",
    "AsyncAttachments",
    "AsyncCustomerTickets",
    "AsyncDraftEditor",
    "AsyncDrafts",
    "AsyncOrganizations",
    "AsyncPeople",
    "AsyncTicketFeed",
    "AsyncTicketListFeed",
    "AsyncTicketPage",
    "AsyncTicketThread",
    "AsyncWatch",
    "Attachment",
    "AttachmentSource",
    "Attachments",
    "Busy",
    "ClientClosed",
    "Conflict",
    "Counts",
    "CustomerTickets",
    "CustomerTicketsError",
    "Draft",
    "DraftConflict",
    "DraftEditor",
    "Drafts",
    "EditorState",
    "ExportDamaged",
    "ExportFailed",
    "ExportReport",
    "FeedState",
    "FeedStopped",
    "Feedback",
    "FieldError",
    "FileChanged",
    "FileDamaged",
    "FileSource",
    "FileStore",
    "History",
    "InvalidInput",
    "MemoryStore",
    "Message",
    "MessageAdded",
    "Messages",
    "NotAllowed",
    "NotFound",
    "Offline",
    "Organization",
    "Organizations",
    "OtherEvent",
    "People",
    "PeopleState",
    "Permission",
    "Permissions",
    "Person",
    "Presence",
    "Priority",
    "Progress",
    "ProgressTo",
    "RateLimited",
    "RatingWindowOver",
    "ReopenWindowOver",
    "Role",
    "SessionStore",
    "SignInFailed",
    "SignInRequired",
    "SignUpFailed",
    "SortKey",
    "Status",
    "StatusChanged",
    "StopReason",
    "StoreFailed",
    "Submitted",
    "Ticket",
    "TicketAssigned",
    "TicketChanged",
    "TicketClosed",
    "TicketClosedError",
    "TicketCreated",
    "TicketEdited",
    "TicketEvent",
    "TicketFeed",
    "TicketListFeed",
    "TicketNotClosed",
    "TicketPage",
    "TicketRated",
    "TicketReopened",
    "TicketThread",
    "Unavailable",
    "UnexpectedAnswer",
    "Unset",
    "Upload",
    "User",
    "Verification",
    "Watch",
    "verify_export",
]
