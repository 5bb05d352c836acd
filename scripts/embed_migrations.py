#!/usr/bin/env python3
"""Turn lib/repo/migrations/NNN_name.sql into a C table: embed_migrations.py OUT.c FILE.sql..."""
import re
import sys
from pathlib import Path

out, files = Path(sys.argv[1]), sorted(map(Path, sys.argv[2:]), key=lambda p: p.name)
rows = []
for expected, file in enumerate(files, start=1):
    match = re.fullmatch(r"(\d{3})_([a-z0-9_]+)\.sql", file.name)
    if not match or int(match.group(1)) != expected:
        sys.exit(f"{file.name}: migrations are named 001_name.sql, 002_name.sql … without a gap; expected {expected:03d}")
    lines = file.read_text(encoding="ascii").splitlines()
    literal = "\n".join('        "' + line.replace("\\", "\\\\").replace('"', '\\"') + '\\n"' for line in lines)
    rows.append(f'    {{{expected}, "{match.group(2)}",\n{literal}}},')
out.write_text('/* Made from the folder migrations by embed_migrations.py. */\n#include "repo/migrate.h"\n\n'
               "const Migration migrations[] = {\n" + "\n".join(rows) + "\n};\n"
               f"const int n_migrations = {len(rows)};\n", encoding="ascii")
