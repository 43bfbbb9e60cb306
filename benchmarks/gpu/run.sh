#!/bin/bash
# Everything that needs a GPU, in about seven minutes on one card; run it in the root of a checkout whose packages are
# installed: bash benchmarks/gpu/run.sh [python]. Each part prints its result; a part that fails does not stop the rest.
# What to expect is in docs/models.md and docs/cluster.md (GPUs).
python=${1:-python3}
export PYTHONPATH=scripts:tests${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
export CUBLAS_WORKSPACE_CONFIG=:4096:8
failed=0
part() {
    local name=$1 limit=$2
    shift 2
    echo "== $name ($SECONDS s)"
    timeout "$limit" "$@" || { echo "!! $name: exit status $?"; failed=1; }
}
mil="$python benchmarks/mil_step.py --device=cuda --encoder=swin-b --size=224 --no-peak --rounds=5"
tiny="$python -m snakemake all --configfile config/tiny.yaml benchmarks/gpu/cuda.yaml --cores 8 --resources gpu=1"

part "steps" 90 $mil --forms=plain,recorded
part "fine-tuning" 120 $python benchmarks/gpu/fine_tuning.py
part "images of the tiny cohort" 60 $python resources/demo/generate.py tiny --out demo/tiny --jobs 8
part "tiny cohort" 150 $tiny &
cohort=$!
part "compiled steps, first time" 200 $mil --forms=compiled --kernels
wait $cohort || failed=1
part "tiny cohort again" 60 $tiny
part "compiled steps, batches of 32" 90 $mil --forms=compiled --batch=32
part "frozen ViT-L" 60 $python benchmarks/gpu/encoders.py
part "replay" 60 $python -m nephroscale replay $(ls results/tiny/train/cmusnet/*.json | head -1) --configfile config/tiny.yaml --configfile benchmarks/gpu/cuda.yaml
exit $failed
