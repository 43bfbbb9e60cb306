#!/bin/bash
# Everything that needs a GPU, in at most 15 minutes on one card; run it in the root of a checkout whose packages are
# installed: bash benchmarks/gpu/run.sh [python]. Each part prints its result; a part that fails does not stop the rest.
# What to carry to a machine without a network, and what to expect of each part, is in benchmarks/gpu/README.md.
python=${1:-python3}
export PYTHONPATH=scripts:tests${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
export CUBLAS_WORKSPACE_CONFIG=:4096:8
failed=0

# A part has a name, a limit in seconds and a command. It returns 1 if it fails: in the background, it cannot set `failed`.
part() {
    local name=$1 limit=$2
    shift 2
    echo "== $name ($SECONDS s)"
    timeout "$limit" "$@" || { echo "!! $name: exit status $?"; failed=1; return 1; }
}

# The command has nothing to do.
idle() {
    local name=$1 output
    output=$(part "$@" 2>&1)
    local status=$?
    echo "$output"
    [ $status = 0 ] && grep -q "Nothing to be done" <<< "$output" && return 0
    echo "!! $name: this was not idle"
    failed=1
}

mil="$python benchmarks/mil_step.py --device=cuda --encoder=swin-b --size=224 --no-peak --rounds=5"
snakemake="$python -m snakemake --cores 8 --resources gpu=1"
cuda="--configfile config/tiny.yaml benchmarks/gpu/cuda.yaml"
families="--configfile config/tiny.yaml config/baselines.yaml benchmarks/gpu/cuda.yaml"
replay="$python -m nephroscale replay --configfile config/tiny.yaml --configfile benchmarks/gpu/cuda.yaml"

part "steps" 90 $mil --forms=plain,recorded
part "fine-tuning" 120 $python benchmarks/gpu/fine_tuning.py
part "images of the tiny cohort" 60 $python resources/demo/generate.py tiny --out demo/tiny --jobs 8
part "tiny cohort" 150 $snakemake $cuda -- all &
cohort=$!
part "compiled steps, first time" 200 $mil --forms=compiled --kernels
wait $cohort || failed=1
idle "tiny cohort again" 60 $snakemake $cuda -- all
part "replay of a training" 60 $replay "$(ls results/tiny/train/cmusnet/*.json | head -1)"
part "all families" 150 $snakemake $families -- evaluate &
trainings=$!
part "replay of features" 60 $replay features/P01-TEM  # beside the trainings
part "compiled steps, batches of 32" 90 $mil --forms=compiled --batch=32
wait $trainings || failed=1
part "frozen ViT-L" 60 $python benchmarks/gpu/encoders.py
exit $failed
