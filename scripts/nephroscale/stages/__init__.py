"""What each stage reads, makes and depends on; the plan, the pre-pass and the job."""
