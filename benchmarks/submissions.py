"""Effect of groups on a cluster: submissions and seconds of many trivial jobs, one by one and in groups.

    python benchmarks/submissions.py [--jobs 48] [--size 16]

Starts the Slurm of tests/cluster, submits the same jobs both ways with the settings of the profile, and prints the
ratios of submissions, of CPU seconds (jobs and Snakemake), and of wall-clock seconds, which are rough if the machine
does other work. Then computes, from the group sizes of workflow/profiles/slurm, the number of submissions for a cohort
of 10,000 slides.
"""

import argparse
import math
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.slurm import Cluster, missing_programs  # noqa: E402

PROFILE = ROOT / "workflow/profiles/slurm/config.yaml"
SNAKEFILE = """
rule all:
    default_target: True
    input: expand("made/{unit}", unit=range(JOBS))
rule unit:
    output: "made/{unit}"
    resources: mem_mb=400, runtime=1
    shell: "touch {output}"
"""
# Units of each stage in a cohort of 5,000 patients with one OM and one IM slide each, and TEM images.
COHORT = {
    "register_patient": 5_000,
    "tile_slide": 10_000,
    "find_glomeruli": 10_000,
    "prepare_tem": 5_000,
    "extract_features": 15_000,
}


def measure(cluster: Cluster, folder: Path, jobs: int, size: int | None) -> tuple[int, float, float]:
    """Run trivial jobs, in groups or one by one; return submissions, CPU seconds and wall-clock seconds."""
    profile = yaml.safe_load(PROFILE.read_text())
    profile = {
        key: value for key, value in profile.items() if key not in {"set-resources", "groups", "group-components"}
    }
    profile |= {"default-resources": {"slurm_partition": "cpu"}, "slurm-init-seconds-before-status-checks": 3}
    profile |= {"latency-wait": 5}
    if size:
        profile |= {"groups": {"unit": "units"}, "group-components": {"units": size}}
    (folder / "slurm").mkdir(parents=True)
    (folder / "slurm/config.yaml").write_text(yaml.safe_dump(profile))
    (folder / "Snakefile").write_text(SNAKEFILE.replace("JOBS", str(jobs)))
    before, cpu, clock = cluster.last_job_id(), cpu_seconds(cluster), time.monotonic()
    command = [sys.executable, "-m", "snakemake", "--profile", "slurm", "--quiet", "rules", "--", "all"]
    subprocess.run(command, cwd=folder, env=cluster.environment, check=True, capture_output=True, timeout=3000)
    seconds = time.monotonic() - clock
    time.sleep(2)  # the last job's step daemon has ended
    return cluster.last_job_id() - before, cpu_seconds(cluster) - cpu, seconds


def cpu_seconds(cluster: Cluster) -> float:
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    return cluster.cpu_seconds() + own.ru_utime + own.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=48)
    parser.add_argument("--size", type=int, default=16, help="jobs in a group")
    options = parser.parse_args()
    if missing := missing_programs():
        print(f"skipped: {', '.join(missing)} not found (apt-get install slurm-wlm munge)")
        return
    folder = Path(tempfile.mkdtemp(prefix="submissions-"))
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="slurm-")) / "s")
    cluster.start()
    try:
        found = {size: measure(cluster, folder / str(size), options.jobs, size) for size in (None, options.size)}
    finally:
        cluster.stop()
        cluster.top.parent.rmdir()
        shutil.rmtree(folder)
    for size, (submissions, cpu, seconds) in found.items():
        how = f"in groups of {size}" if size else "one by one"
        each = f"{cpu / options.jobs:.2f} CPU seconds and {seconds / options.jobs:.2f} s a job"
        print(f"{options.jobs} jobs {how}: {submissions} submissions, {each}")
    (many, work, slow), (few, less, fast) = found[None], found[options.size]
    print(f"ratios: {many / few:.1f} of submissions, {work / less:.2f} of CPU seconds, {slow / fast:.2f} of seconds")
    profile = yaml.safe_load(PROFILE.read_text())
    sizes = {rule: profile["group-components"][profile["groups"][rule]] for rule in COHORT}
    grouped = sum(math.ceil(units / sizes[rule]) for rule, units in COHORT.items())
    print(f"10,000 slides of 5,000 patients: {sum(COHORT.values()):,} jobs before training, {grouped:,} submissions")


if __name__ == "__main__":
    main()
