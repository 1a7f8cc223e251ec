"""The kernel: what moves a job. This is the map of it.

**Five floors.** Each imports only from those before it, and no module waits for itself.

======== ======================================================================================
values   what a job, a class and a moment are; nothing here changes while jobs run
places   where jobs are: queues, sets, keys, history; one step in or out each, and no lock
workers  who runs them: threads, tasks of the event loop, the caller's thread; one attempt
moves    how a job gets from place to place: the only writers of its state
process  the parts put together (``Runtime``), and the life of the process: start, drain, exit
======== ======================================================================================

Around it stand the rings: ``define`` (the class people write), ``observe`` (reads, never writes),
``recurring``, ``testing``, ``batch``, ``dashboard``, ``integrations``, ``backends``. They ask the
core through ``port`` and share the words of ``values`` with it.

**The life of a job.** ``perform_async`` is ``process.express`` while nothing has to be looked at,
else ``moves.admission``: the arguments are checked, the job gets its number, and with it counts as
accepted. It is put where it waits: in the queue of its lane (``moves.queueing``), in the scheduler
(``moves.waiting``: a time, room), in the line for its class's rate (``moves.rating``), or with its
transaction (``deferred``). A worker
(``workers.pool``, ``loop_pool``) takes it; ``moves.performing`` says whether it may start;
``workers.attempt`` runs it, and ``workers.outcome`` judges what came of it. ``performing.settle``
lets it wait for its next attempt or hands it to ``moves.endings``, which gives it its one terminal
status, tells who waits and remembers it. ``moves.steering`` takes jobs back from wherever they
wait; ``process.drain`` does so with all of them.

**Who may write.** A job's ``state`` is written in ``moves``, and in two hot places that say what
they save: ``process.express`` and ``workers.attempt``. Whoever takes a job out of its container
owns it until it has put it into the next one. ``values.status`` has the table of moves;
``values.stage`` has that of the process's phases, and ``Stage.enter`` is the one that changes it.

**Two protocols**, explained once: *publish, then look again* in ``places.parking``; *taking out is
the right to change* in ``values.record``. What is one step on a container, with the interpreter
lock and without, is in ``places.steps``.

**Words.**

call      a ``Handle``, as the core calls it: record and face of one job
lane      one class in one process: the containers of its jobs, and its ledger
ledger    the counters of a lane, and one consistent reading of them
pool      workers and the backlog they work at; of one class, or shared by name
backlog   where the jobs of a pool wait, a queue for each priority in use
permit    the right to do something once: a vacancy, a place to leave, to begin
gate      the way from a class to its lane while the short path may be taken
app loop  the event loop that has entered the ASGI lifespan; jobs of ``loop = "app"`` run on it
lineup    due jobs of a class with a rate, in the order in which they will start
plan      what is worked out once for a class: options, hooks, the shape of ``perform``
parking   where threads sleep, and how they are woken
resting   the parking of those who wait until nothing is on its way
site      the places of one process, made together
stage     the phase of a process: open, quiet, draining, stopped; its deadline and report
heavy     what the history knows of a job that weighs something: itself, or its description
hold      queued jobs of a paused class
overdue   jobs that fell due on a full queue and wait for room
away      jobs that ``using(pool=...)`` has put into another pool's queue
aside     not on the scheduler's thread, which must not wait for it: the log, a done callback
foreign   a job that runs on an engine's worker
tick      the enqueue of a periodic class (``recurring``): like any other, without arguments
mode      what a test mode does another way
attempt   one run of a job, counted from 1
delay     seconds; *deadline*: an instant of the monotonic clock; *drain*: finish, then stop
"""
