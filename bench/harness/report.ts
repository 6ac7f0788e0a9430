/** One row of the table in the README: a measure, what is wanted and what was found. */
export interface Finding {
  measure: string;
  target: string;
  measured: string;
  /** What the same run found for the baseline. */
  baseline?: string;
  ratio?: number;
  isMet: boolean;
}

export function printFinding(finding: Finding): void {
  const { measure, target, measured, baseline, ratio, isMet } = finding;
  const compared = baseline === undefined ? '' : `; baseline ${baseline}`;
  const times = ratio === undefined ? '' : `; ratio ${ratio.toFixed(2)}`;
  console.log(`  ${isMet ? 'ok  ' : 'MISS'} ${measure}: ${measured}${compared}${times} (target ${target})`);
}

/** The findings as a Markdown table, ready for the README. */
export function markdownTable(findings: Finding[]): string {
  const rows = findings.map(({ measure, target, measured, baseline, ratio, isMet }) =>
    [measure, target, measured, baseline ?? '–', ratio?.toFixed(2) ?? '–', isMet ? 'yes' : '**no**'].join(
      ' | ',
    ),
  );
  const head = 'what | target | measured | baseline | ratio | met';
  return [head, '--- | --- | --- | --- | --- | ---', ...rows].map((row) => `| ${row} |`).join('\n');
}

/** 1234567 → "1,234,567" */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

export function milliseconds(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

export function megabytes(value: number): string {
  return `${Math.round(value)} MB`;
}
