const ETHER = 10n ** 18n;

/** Wei as ether with so many decimals, rounded towards zero; for people only. */
export function formatEther(wei: bigint, decimals = 6): string {
  const sign = wei < 0n ? "-" : "";
  const magnitude = wei < 0n ? -wei : wei;
  const fraction = (magnitude % ETHER).toString().padStart(18, "0").slice(0, decimals);
  return `${sign}${magnitude / ETHER}.${fraction}`;
}

/** Wei in dollars at a price per ether; for people only. */
export function formatDollars(wei: bigint, etherUsd: number): string {
  if (etherUsd <= 0) return "n/a";
  const dollars = (Number(wei) / 1e18) * etherUsd;
  return `${dollars < 0 ? "-" : ""}$${Math.abs(dollars).toFixed(2)}`;
}

/** Columns of text, each as wide as its widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** JSON with bigints as decimal strings, on one line. */
export function toJsonLine(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => (typeof item === "bigint" ? item.toString() : item));
}
