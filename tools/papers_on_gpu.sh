#!/usr/bin/env bash
# The papers' recipes on a GPU, ten minutes: seconds a step, memory and terms at the start from twenty steps, then four
# minutes of training each. OUT/lap_64 and OUT/learned_basis get the losses (log.jsonl); --resume goes on.
#   tools/papers_on_gpu.sh OUT [PREPARED_PORTRAITS]
set -euo pipefail
out=${1:?folder for the results} portraits=${2:-}
for name in lap_64 learned_basis; do
  set --
  if [ "$name" = lap_64 ] && [ -n "$portraits" ]; then set -- --set "every_stage.source.portraits.folder=$portraits"; fi
  mkdir -p "$out"
  python -m trainer "paper/$name" --dry-run 20 --device cuda "$@" | tee "$out/$name.txt"
  python -m trainer "paper/$name" --out "$out/$name" --minutes 4 --device cuda --set log_steps=10 "$@"
done
