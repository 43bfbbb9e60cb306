"""The stain reference, and the pyramids of OM and IM images."""


rule tiles:
    input:
        list_receipts_of("tiles"),


rule fit_reference:
    input:
        list_receipts_before("reference"),
    output:
        receipt("reference"),
    log:
        log_file("reference"),
    benchmark:
        benchmark_file("reference")
    threads: plan.config["compute"]["threads"]
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(120),
    message:
        "Fit the stain reference"
    script:
        "../../scripts/fit_reference.py"


rule tile_slide:
    input:
        list_receipts_before("tiles"),
    output:
        receipt("tiles"),
    log:
        log_file("tiles"),
    benchmark:
        benchmark_file("tiles")
    threads: plan.config["compute"]["threads"]
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(60),
    message:
        "Tile and normalise {wildcards.image}"
    script:
        "../../scripts/tile_slide.py"
