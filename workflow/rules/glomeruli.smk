"""The segmenter, and the contours and crops of glomeruli."""


rule glomeruli:
    input:
        list_receipts_of("glomeruli"),


rule train_segmenter:
    input:
        list_receipts_before("segmenter"),
    output:
        receipt("segmenter"),
    log:
        log_file("segmenter"),
    benchmark:
        benchmark_file("segmenter")
    threads: plan.config["compute"]["threads"]
    resources:
        mem_mb=scale_with_attempt(6000),
        runtime=scale_with_attempt(240),
    message:
        "Train the glomerulus segmenter"
    script:
        "../../scripts/train_segmenter.py"


rule find_glomeruli:
    input:
        list_receipts_before("glomeruli"),
    output:
        receipt("glomeruli"),
    log:
        log_file("glomeruli"),
    benchmark:
        benchmark_file("glomeruli")
    threads: plan.config["compute"]["threads"]
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(30),
    message:
        "Find the glomeruli of {wildcards.image}"
    script:
        "../../scripts/find_glomeruli.py"
