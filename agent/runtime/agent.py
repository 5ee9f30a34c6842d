"""The running agent: feeds the core what happens, and performs what it answers.

Keeps:
- one event at a time, in the order in which they came; effects of a step in the order of the step;
- the loop is never blocked: disks, AWS and processes are waited for in threads and children;
- a worker or a step that breaks ends the agent, loudly; the applications it looks after go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import replace
from pathlib import Path

from agent.comm.comm import Comm
from agent.comm.keys import Keyring
from agent.config.model import Config
from agent.core.effects import (
    Answer,
    AskArbiter,
    CancelAction,
    ControlKit,
    Effect,
    Fence,
    FenceMyself,
    Kind,
    Notice,
    Notify,
    Persist,
    ProbeOutside,
    Publish,
    SayGoodbye,
    Send,
    Severity,
    StartAction,
)
from agent.core.events import CommandGiven, ConfigLoaded, Event, Stopping, Tick
from agent.core.ids import NEVER, HierarchyId, Instant, NodeId, RequestId, Tag
from agent.core.messages import Command
from agent.core.mind import Mind
from agent.core.node import Node
from agent.fencing.myself import fence_myself
from agent.notify.notifier import Notifier
from agent.runtime.actions import Actions
from agent.runtime.clock import boot_id, boottime_ms
from agent.runtime.controls import Controls
from agent.runtime.duties import Duties
from agent.runtime.figures import figures
from agent.runtime.journal import Journal
from agent.runtime.keeper import Keeper
from agent.runtime.kitbox import KitBox
from agent.runtime.lifeline import Lifeline
from agent.runtime.noticelog import NoticeLog
from agent.runtime.outside import Outside
from agent.runtime.replicas import Agreements
from agent.runtime.store import Store

AGREE_LIMIT_S = 2.0  # for peers to know what stays in service here when the agent stops
LEAVE_LIMIT_S = 4.0  # for actions in progress to end when the agent stops
OVERDUE_INTERVALS = 10  # without a step for so many heartbeat intervals the agent doesn't work any more

_log = logging.getLogger(__name__)


class Agent:
    """One node's agent, from `run` to its end."""

    def __init__(
        self, me: NodeId, config: Config, keyring: Keyring, state_dir: Path, runtime_dir: Path, version: str
    ) -> None:
        self.me, self.config, self.version = me, config, version
        self.notices = NoticeLog(state_dir / "events.jsonl", me)
        self.comm = Comm(
            me,
            config.paths,
            keyring,
            config.cluster.heartbeat,
            config.digest,
            version,
            boottime_ms,
            self.feed,
        )
        self.node: Node | None = None  # until `open`
        self._notifier = Notifier(
            me, config, self.notices, state_dir / "notify", lambda: figures(self.node), self.tell
        )
        self.notices.on_add = self._notifier.wake
        self.running = asyncio.Event()
        self._agreements = Agreements(self.feed, boottime_ms)
        self._kits = KitBox(
            me,
            config,
            runtime_dir,
            self.log_line,
            self._time_left_ms,
            self._agreements.of,
            state_dir,
            keyring.secrets,
        )
        self.outside = Outside(me, config, boottime_ms, self.feed)
        self.lifeline = Lifeline(config, runtime_dir / "guard", boottime_ms, self.tell)
        self._may_act_until: dict[HierarchyId, Instant] = {}
        self._store = Store(state_dir / "state.db")
        self._journal = Journal(state_dir / "journal", version)
        self._boot_id = boot_id()
        self._stop, self._goodbye = asyncio.Event(), asyncio.Event()
        self._queue: deque[Event] = deque()
        self._feeding = False
        self._defect: Exception | None = None  # of a step: a mind that may be half changed isn't asked again
        self._timer: asyncio.TimerHandle | None = None
        self._keeper = Keeper(self._store, self._boot_id, boottime_ms, self.feed)
        self._answers: dict[RequestId, asyncio.Future[Answer]] = {}
        self._requests = 0
        self._actions: Actions | None = None
        self._duties: Duties | None = None
        self._controls: Controls | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._fencing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Remember what an earlier life knew; raises StoreError if that can't be read, or KitBroken."""
        self._kits.make(self.config)
        loaded = await self._store.load()
        await self.notices.load()
        same_boot = loaded.boot_id == self._boot_id
        cluster, at = self.config.cluster, boottime_ms()
        self.node = Node.starting(self.me, cluster, loaded.durable, at, same_boot=same_boot)

    async def run(self) -> None:
        """Run until `stop` is called; raises OSError (in a group) if a comm path's port is taken."""
        assert self.node is not None, "open it first"
        try:
            await self.lifeline.start()
            async with asyncio.TaskGroup() as group:
                self._tasks = group
                self._duties = Duties(group, self._duty_broke)
                self._actions = Actions(group, boottime_ms, self.feed, self._duties.suspended)
                self._controls = Controls(group, boottime_ms, self.feed)
                self._use_kits()
                workers = [
                    group.create_task(work, name=name)
                    for name, work in (
                        ("comm", self.comm.run()),
                        ("store", self._keeper.run()),
                        ("notices", self.notices.run()),
                        ("notify", self._notifier.run()),
                        ("aws", self._kits.keep_warm()),
                        ("arbiter", self.outside.warm_up()),
                        ("lifeline", self.lifeline.run()),
                    )
                ]
                await asyncio.sleep(0)  # comm has its ports by now, or has failed
                self.feed(Tick(boottime_ms()))
                if not workers[0].done():
                    self.running.set()
                await self._stop.wait()
                if self._defect is not None:
                    raise self._defect
                await self._leave()
                for each in (self._actions, self._duties, self._controls):
                    each.abandon()
                for task in (*workers, self._fencing):
                    if task is not None:
                        task.cancel()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            await self.lifeline.close(disarm=self.node.state.said_goodbye)
            await self.outside.close()
            await self._store.close()
            self._journal.close()
            self._kits.close()

    def stop(self) -> None:
        """End in good order; what runs goes on running."""
        self._stop.set()

    @property
    def works(self) -> bool:
        """Is the core stepped as often as it must be? If not, a watchdog should end this."""
        overdue_ms = OVERDUE_INTERVALS * self.config.cluster.heartbeat.interval_ms
        return self.node is not None and boottime_ms() < self.node.state.stepped_at + overdue_ms

    # What happens

    def feed(self, event: Event) -> None:
        """Give the core an event; its effects are performed before this returns."""
        self._queue.append(event)
        if self._feeding or self.node is None or self._actions is None:
            return
        self._feeding = True
        try:
            while self._queue:
                self._step(self.node, self._queue.popleft())
        except Exception as defect:  # noqa: BLE001 (`run` raises it; whoever fed the event isn't to blame)
            self._defect = defect
            self._stop.set()
            return  # and feed nothing any more
        self._feeding = False
        self._set_timer(self.node)

    async def command(self, command: Command) -> Answer:
        """Ask the core; it answers each command, within its own limit."""
        self._requests += 1
        request = RequestId(f"{self.me}-{self.comm.incarnation:x}-{self._requests}")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers[request] = answer
        try:
            self.feed(CommandGiven(boottime_ms(), request, command))
            return await answer
        finally:
            del self._answers[request]

    def adopt(self, config: Config) -> None:
        """Put a checked configuration in force; `agent.config.diff.changes` found nothing against it.

        Raises KitBroken; then the one before stays.
        """
        self._kits.make(config)
        self._use_kits()
        self.config = config
        self.comm.config_digest = config.digest
        self.outside.use(config)
        self._notifier.use(config)
        self.feed(ConfigLoaded(boottime_ms(), config.cluster))

    def tell(self, kind: Kind, severity: Severity, text: str) -> None:
        """A notice of the runtime's own."""
        self.notices.add(Notice(at=boottime_ms(), kind=kind, severity=severity, text=text))

    def log_line(self, tag: str, line: str) -> None:
        """A line that a kit or its script printed."""
        _log.info("%s: %s", tag, line)

    def _step(self, node: Node, event: Event) -> None:
        if event.at < node.state.stepped_at:  # stamped before an event that was queued earlier
            event = replace(event, at=node.state.stepped_at)
        self._journal.before(node.state)
        effects = node.step(event)
        self._journal.after(event, effects)
        self._say_how_long(node.mind, event.at)
        if self._duties is not None:
            self._duties.see(node.mind)
        self._agreements.stepped(node.mind)
        for effect in effects:
            self._perform(effect)

    def _say_how_long(self, mind: Mind, at: Instant) -> None:
        """Before anything is done: by when this node must be harmless, and until when its kits may act."""
        self.lifeline.set(mind.harmless_by())
        for name in mind.machines:
            self._may_act_until[name] = mind.may_act_until(name, at)

    def _use_kits(self) -> None:
        for each in (self._actions, self._duties, self._controls):
            if each is not None:
                each.use(self._kits.made)

    def _duty_broke(self, tag: Tag, text: str) -> None:
        notice = Notice(at=boottime_ms(), kind=Kind.DUTY_BROKE, severity=Severity.WARNING, text=text, tag=tag)
        self.notices.add(notice)

    def _time_left_ms(self, hierarchy: HierarchyId) -> int:
        return self._may_act_until.get(hierarchy, NEVER) - boottime_ms()

    def _set_timer(self, node: Node) -> None:
        """A tick at the core's next deadline, unless something else happens before."""
        if self._timer is not None:
            self._timer.cancel()
        wait_s = max((node.next_deadline() - boottime_ms()) / 1_000, 0.001)
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._tick)

    def _tick(self) -> None:
        self.feed(Tick(boottime_ms()))

    # What is done

    def _perform(self, effect: Effect) -> None:  # noqa: C901, PLR0912 (one line for each kind of effect)
        assert self._actions is not None
        assert self._tasks is not None
        match effect:
            case Persist():
                self._keeper.keep(effect)
            case Publish(report):
                self.comm.publish(report)
            case Send(to, message):
                self.comm.send(to, message)
            case AskArbiter():
                self.outside.ask_arbiter(effect)
            case ProbeOutside():
                self.outside.probe()
            case Fence(node):
                self.outside.fence(node)
            case SayGoodbye():
                self._goodbye.set()  # `_leave` says it
            case StartAction():
                self._actions.start(effect)
            case CancelAction(action):
                self._actions.cancel(action)
            case ControlKit():
                if self._controls is not None:
                    self._controls.start(effect)
            case FenceMyself(reason):
                if self._fencing is None:
                    fence = fence_myself(reason, self.config.self_fence)
                    self._fencing = self._tasks.create_task(fence, name="fence myself")
            case Answer(request):
                if (answer := self._answers.get(request)) is not None and not answer.done():
                    answer.set_result(effect)
            case Notify(notice):
                self.notices.add(notice)

    async def _leave(self) -> None:
        """Say goodbye, and end what is in progress; it is done again by the next life."""
        assert self._actions is not None
        self.feed(Stopping(boottime_ms()))
        try:
            async with asyncio.timeout(AGREE_LIMIT_S):
                await self._goodbye.wait()
        except TimeoutError:
            text = "peers don't know what becomes of what ran here: ending without a goodbye"
            self.tell(Kind.UNGUARDED, Severity.ALARM, text)
        else:
            if self._fencing is None:  # a reboot ends the agent: peers must see it die, not leave
                await self.comm.goodbye()
        try:
            async with asyncio.timeout(LEAVE_LIMIT_S):
                await self._actions.idle()
        except TimeoutError:
            _log.warning("some actions didn't end within %g s; left behind", LEAVE_LIMIT_S)
        await self.notices.flush()
