"""The tasks that clients request, and their tokens, in the model."""

from collections.abc import Sequence

import attrs

from tests.store.model.books import Books, pool_of
from vmpooler.domain.admission import Admission
from vmpooler.domain.errors import NoSuchToken, NoSuchVm, NothingToDelete, NotYours
from vmpooler.domain.events import What
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind, Task
from vmpooler.store.commands.tokens import Token


@attrs.define
class Requests(Books):
    """Tasks and tokens."""

    def request(self, vm: str, kind: Kind, argument: str, unlike: str, admission: Admission) -> None:
        who = self.admit(vm, admission, "api")
        record = self.records.get(vm, {})
        if "pool" not in record or (kind is Kind.REVERT and f"snapshot:{argument}" not in record):
            raise NoSuchVm
        self.put(vm, kind, argument, unlike, who)

    def put(self, vm: str, kind: Kind, argument: str, unlike: str, who: str) -> None:
        """Store a request where the next manager adopts it."""
        id = self.next_id(unlike)
        self.intake[kind].add(f"{vm}:{argument}:{id}")
        self.record_event(What.REQUESTED, vm, self.records[vm]["pool"], who, task=id, kind=kind, argument=argument)

    def next_id(self, unlike: str) -> str:
        self.number += 1
        return f"{self.number:012d}-{unlike}"

    def adopt(self, pools: Sequence[str], unlike: str) -> set[str]:
        found = set()
        for kind, requests in self.intake.items():
            for request in sorted(requests):
                vm, argument, *id = request.split(":")
                pool = self.records.get(vm, {}).get("pool")
                if pool is not None and pool in pools:
                    task = Task(id[0] if id else self.next_id(unlike), kind, vm, argument)
                    self.books[task.id] = task
                    found.add(pool)
                if pool is None or pool in pools:
                    requests.remove(request)
        return found

    def finish(self, task: Task) -> bool:
        if self.books.pop(task.id, None) is None:
            return False
        if task.vm in self.records:
            if task.kind is Kind.DISK:
                disks = [self.records[task.vm].get("disk", ""), f"+{task.argument}gb"]
                self.write(task.vm, disk=":".join(filter(None, disks)))
            elif task.kind is Kind.SNAPSHOT:
                self.write(task.vm, **{f"snapshot:{task.argument}": self.text})
        self.record_event(What.DONE, task.vm, pool_of(task.vm), task=task.id, kind=task.kind, argument=task.argument)
        return True

    def fail_task(self, task: Task, why: str, final: bool) -> None:
        known = self.books.get(task.id)
        if known is None:
            return
        tries, wait = known.tries + 1, min(300, 2**known.tries)
        more = {"task": task.id, "kind": task.kind, "argument": task.argument, "tries": str(tries)}
        if tries < self.tries and not final:
            self.books[task.id] = attrs.evolve(known, tries=tries, retry_at=self.now + wait)
            self.record_event(What.DELAYED, task.vm, pool_of(task.vm), why=why, **more, seconds=str(wait))
            return
        del self.books[task.id]
        if task.vm in self.records:
            self.write(task.vm, **{f"failed:{task.id}": f"{task}: {why}"})
        self.record_event(What.GAVE_UP, task.vm, pool_of(task.vm), why=why, **more)

    # Tokens.

    def add_token(self, name: str, user: str) -> None:
        self.tokens.setdefault(name, {}).update(user=user, created=self.text)
        if user in self.listed:
            self.listed[user].add(name)

    def drop_token(self, name: str, user: str, own: bool) -> None:
        if name not in self.tokens:
            raise NothingToDelete
        owner = self.tokens[name]["user"]
        if own and owner != user:
            raise NotYours
        del self.tokens[name]
        self.unlist(owner, name)

    def unlist(self, user: str, token: str) -> None:
        self.listed.get(user, set()).discard(token)
        if not self.listed.get(user):
            self.listed.pop(user, None)

    def show_token(self, name: str) -> Token:
        if name not in self.tokens:
            raise NoSuchToken
        mine = [vm for vm in self.standing(Queue.RUNNING) if self.records[vm].get("token:token") == name]
        return attrs.evolve(self.shown(name), running=tuple(mine))

    def tokens_of(self, user: str) -> list[Token]:
        mine = [name for name, known in self.tokens.items() if known["user"] == user]
        if mine:
            self.listed[user] = set(mine)
        else:
            self.listed.pop(user, None)
        return sorted(map(self.shown, mine), key=lambda token: (token.created, token.name))

    def shown(self, name: str) -> Token:
        known = self.tokens[name]
        return Token(name, known["user"], known["created"], known.get("last", ""))
