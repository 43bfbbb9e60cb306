import logging

from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_nephroscale import ProgressFormatter


def record(event=None, message="", **values):
    made = logging.LogRecord("snakemake", logging.INFO, "", 0, message, (), None)
    made.__dict__.update({"event": event, **values})
    return made


def test_a_finished_job_is_one_line_with_its_stage_s_count_and_the_time_left():
    times = iter([0.0, 30.0, 60.0])
    formatter = ProgressFormatter(clock=lambda: next(times))
    formatter.format(record(LogEvent.RUN_INFO, "stats", stats={"tile_slide": 3, "prepare_tem": 1, "total": 4}))
    start = {"rule_name": "tile_slide", "rule_msg": "Tile P1"}
    assert formatter.format(record(LogEvent.JOB_INFO, jobid=1, **start)) == ""
    assert formatter.format(
        record(LogEvent.JOB_FINISHED, job_id=1)
    ) == "1 of 4  Tile P1 (1/3), about 90 s left".replace("90 s", "2 min")
    formatter.format(record(LogEvent.JOB_INFO, jobid=2, rule_name="prepare_tem", rule_msg=None))
    assert formatter.format(record(LogEvent.JOB_FINISHED, job_id=2)) == "2 of 4  prepare_tem (1/1), about 60 s left"


def test_noise_is_dropped_and_messages_are_kept():
    formatter = ProgressFormatter()
    assert formatter.format(record(LogEvent.PROGRESS, done=1, total=2)) == ""
    assert formatter.format(record(None, "Select jobs to execute...")) == ""
    assert formatter.format(record(None, "Nothing to be done")) == "Nothing to be done"
    assert formatter.format(record(LogEvent.JOB_FINISHED, job_id=99)) == ""
