"""The reports, in SQLite through SQLAlchemy's async engine."""

import os
from collections.abc import AsyncIterator

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Report(Base):
    """A row for whoever asks how far it is, whichever process answers."""

    __tablename__ = "reports"

    id: Mapped[int] = mapped_column(primary_key=True)
    url: Mapped[str]
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(default="waiting")


async def opened() -> AsyncEngine:
    engine = create_async_engine(os.environ.get("DATABASE", "sqlite+aiosqlite:///app.sqlite3"))
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    return engine


async def session_of(request: Request) -> AsyncIterator[AsyncSession]:
    """For ``Depends``: one session per request."""
    async with AsyncSession(request.app.state.engine, expire_on_commit=False) as session:
        yield session
