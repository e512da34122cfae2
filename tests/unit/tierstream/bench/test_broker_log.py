"""What is counted of a broker's log: the batches that were written after the mark."""

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from tierstream.bench.broker_log import BrokerLog, Written


def batch(*values, transactional=False):
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=int(transactional),
        producer_id=1,
        producer_epoch=0,
        base_sequence=0,
        batch_size=10_000,
    )
    for offset, value in enumerate(values):
        builder.append(offset, timestamp=0, key=b"k", value=value, headers=[])
    return bytes(builder.build())


def control(stored):
    marker = bytearray(stored)
    marker[22] |= 0x20
    return bytes(marker)


def test_batches_and_records_after_the_mark_are_counted_by_topic(tmp_path):
    for name in ("llm.tier1-0", "llm.tier1-1", "llm.results-0", "quiet-0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "00000000000000000000.log").write_bytes(batch(b"before"))
    log = BrokerLog(tmp_path)
    mark = log.mark()
    added = {"llm.tier1-0": batch(b"1", b"2"), "llm.tier1-1": batch(b"3"), "llm.results-0": batch(b"4")}
    marker = control(batch(b"commit", transactional=True))
    for name, stored in added.items():
        with (tmp_path / name / "00000000000000000000.log").open("ab") as segment:
            segment.write(stored + (marker if "results" in name else b""))
    assert log.since(mark) == {
        "llm.results": Written(records=1, batches=2, bytes=len(added["llm.results-0"]) + len(marker)),
        "llm.tier1": Written(records=3, batches=2, bytes=len(added["llm.tier1-0"]) + len(added["llm.tier1-1"])),
    }
