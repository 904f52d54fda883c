#!/usr/bin/env bash
# In the survival package's nafld2 each total cholesterol is the HDL cholesterol of its person and day, to the digit.
#
# Guess: "chol" and "hdl" are two measurements, and the total is the larger one, as it holds the other.
# Seen, r-cran-survival 3.5-3-1 of Debian 12, read by rdata 1.1.0: of 159,647 pairs of one person and day all are equal.
#   The mean of both is 51 mg/dl, that of HDL; a total would be near 190.
# Who is hurt: whoever takes cholesterol for a covariate, or counts the two as independent measurements.
# What helps: leave "chol" out.
# Seen output:
#   pairs of one person and day: 159647
#   of them equal: 159647
#   mean of chol: 51
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
packages rdata==1.1.0
apt-get download -qq r-cran-survival=3.5-3-1 2>apt.log || { cat apt.log >&2; false; }
dpkg-deb -x r-cran-survival_*.deb package

cat >read.py <<'PYTHON'
import bz2, gzip, lzma, zlib
from pathlib import Path

import rdata

place = Path("package/usr/lib/R/library/survival/data/Rdata.rdb")
index = rdata.conversion.convert(rdata.parser.parse_data(gzip.decompress(place.with_suffix(".rdx").read_bytes())))
start, length = index["variables"]["nafld2"]
kind, packed = (chunk := place.read_bytes()[start : start + length])[4:5], chunk[5:]
if kind in b"2Z":
    data = bz2.decompress(packed) if kind == b"2" else lzma.decompress(packed, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}])
else:
    data = zlib.decompress(chunk[4:])
table = rdata.conversion.convert(rdata.parser.parse_data(data))
both = [table[table["test"] == test].set_index(["id", "days"])["value"].groupby(level=[0, 1]).first() for test in ("chol", "hdl")]
pairs = both[0].to_frame("chol").join(both[1].to_frame("hdl"), how="inner")
print(len(pairs), int((pairs["chol"] == pairs["hdl"]).sum()), round(pairs["chol"].mean()))
PYTHON

read -r pairs equal mean < <("$PYTHON_WITH" read.py 2>read.log || { cat read.log >&2; false; })
expect "pairs of one person and day" "$pairs" 159647
expect "of them equal" "$equal" 159647
expect "mean of chol" "$mean" 51
