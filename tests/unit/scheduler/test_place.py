"""Choosing a host: a picture in, a decision out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skybus.messages.placement import ProviderChanged
from skybus_scheduler.host_table import HostTable
from skybus_scheduler.place import NoFit, Wish, place

small = st.integers(0, 4)


def picture(name: str, vcpus: int = 8, memory: int = 8192, disk: int = 100, **changed: object) -> ProviderChanged:
    fields: dict[str, object] = {
        "kind": "compute",
        "host": name,
        "generation": 1,
        "up": True,
        "enabled": True,
        "availability_zone": "nova",
        "capacity": {"VCPU": vcpus, "MEMORY_MB": memory, "DISK_GB": disk},
        "used": {},
    }
    return ProviderChanged(**{**fields, **changed})  # type: ignore[arg-type]


def table(*pictures: ProviderChanged) -> HostTable:
    made = HostTable()
    made.learn_all(pictures)
    return made


def wish(vcpus: int = 1, memory: int = 512, disk: int = 1, **options: object) -> Wish:
    return Wish(resources={"VCPU": vcpus, "MEMORY_MB": memory, "DISK_GB": disk}, **options)  # type: ignore[arg-type]


def test_the_roomiest_host_is_chosen() -> None:
    hosts = table(picture("a"), picture("b", used={"MEMORY_MB": 4096}), picture("c", used={"MEMORY_MB": 1024}))
    assert place(hosts, wish()) == "a"


def test_a_refusal_counts_what_each_filter_removed_and_names_who_came_closest() -> None:
    hosts = table(
        picture("down", up=False),
        picture("off", enabled=False),
        picture("small", memory=256),
        picture("nearly", memory=500),
        picture("elsewhere", availability_zone="other"),
    )
    answer = place(hosts, wish(availability_zone="nova"))
    assert isinstance(answer, NoFit)
    assert answer.removed == {"up": 1, "enabled": 1, "availability_zone": 1, "memory": 2}
    assert answer.closest[0] == {"host": "nearly", "reason": "needs 512 MiB of memory, 500 free"}
    assert "memory removed 2" in answer.sentence()


def test_an_empty_cloud_says_so() -> None:
    answer = place(HostTable(), wish())
    assert isinstance(answer, NoFit)
    assert "no hosts" in answer.sentence()


def test_hosts_that_were_tried_are_avoided() -> None:
    assert place(table(picture("a"), picture("b")), wish(avoid=frozenset({"a"}))) == "b"


def test_an_old_picture_does_not_replace_a_newer_one() -> None:
    hosts = table(picture("a", generation=5, used={"VCPU": 3}), picture("a", generation=4, used={"VCPU": 1}))
    assert hosts.used[0, 0] == 3


def test_a_choice_that_is_still_awaited_counts_as_used_until_it_is_undone() -> None:
    hosts = table(picture("a"), picture("b", used={"MEMORY_MB": 512}))
    hosts.expect("a", {"MEMORY_MB": 1024})
    assert place(hosts, wish()) == "b"
    hosts.expect("a", {"MEMORY_MB": 1024}, undo=True)
    assert place(hosts, wish()) == "a"


def test_of_equal_hosts_the_first_by_name_is_chosen_also_after_another_came_and_the_table_grew() -> None:
    hosts = table(*(picture(f"h{number:03d}") for number in range(40, 0, -1)))
    assert place(hosts, wish()) == "h001"
    hosts.learn(picture("h000"))
    assert place(hosts, wish()) == "h000"
    assert place(hosts, wish(availability_zone="moon")) != "h000"


hosts_drawn = st.lists(st.tuples(small, small, small, small), min_size=0, max_size=6)


def drawn(sizes: list[tuple[int, int, int, int]]) -> list[ProviderChanged]:
    return [
        picture(f"h{number}", vcpus, memory, disk, used={"VCPU": min(used, vcpus)})
        for number, (vcpus, memory, disk, used) in enumerate(sizes)
    ]


@given(hosts_drawn, small, small, small, st.randoms())
def test_the_order_of_hosts_does_not_matter(
    sizes: list[tuple[int, int, int, int]], vcpus: int, memory: int, disk: int, random: object
) -> None:
    hosts = drawn(sizes)
    shuffled = random.sample(hosts, len(hosts))  # type: ignore[attr-defined]
    first, second = (place(table(*some), wish(vcpus, memory, disk)) for some in (hosts, shuffled))
    assert first == second or (isinstance(first, NoFit) and isinstance(second, NoFit))


@given(hosts_drawn, small, small, small)
def test_the_chosen_host_fits_and_a_refusal_means_that_none_does(
    sizes: list[tuple[int, int, int, int]], vcpus: int, memory: int, disk: int
) -> None:
    hosts = drawn(sizes)
    fitting = {
        one.host
        for one in hosts
        if (one.capacity["VCPU"] - one.used["VCPU"] >= vcpus or not vcpus)
        and one.capacity["MEMORY_MB"] >= memory
        and one.capacity["DISK_GB"] >= disk
    }
    answer = place(table(*hosts), wish(vcpus, memory, disk))
    assert (answer in fitting) if not isinstance(answer, NoFit) else not fitting
