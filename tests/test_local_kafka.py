"""What can be said of the local Kafka without starting one."""

from pathlib import Path

from stream_scorer.local_kafka import keep_cluster_id, new_cluster_id, server_properties


def test_cluster_id_is_22_characters_and_never_looks_like_an_option() -> None:
    made = [new_cluster_id() for _ in range(2000)]
    assert {len(each) for each in made} == {22}
    assert not any(each.startswith("-") for each in made)


def test_cluster_id_of_a_data_folder_stays(tmp_path: Path) -> None:
    assert keep_cluster_id(tmp_path) == keep_cluster_id(tmp_path)


def test_brokers_know_each_other_and_copy_to_each_other() -> None:
    text = server_properties(2, [9092, 9093, 9094], [1, 2, 3], Path("data"))
    settings = dict(line.split("=", 1) for line in text.splitlines())
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:1,2@127.0.0.1:2,3@127.0.0.1:3"
    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:9093,CONTROLLER://127.0.0.1:2"
    assert settings["min.insync.replicas"] == "2"
    assert settings["auto.create.topics.enable"] == "false"


def test_broker_listens_on_loopback_only() -> None:
    text = server_properties(1, [9092], [1], Path("data"))
    assert "0.0.0.0" not in text  # noqa: S104
    assert "//:" not in text
