/** One line of the result: what was measured, what it was measured beside, and what was promised. */
export interface Figure {
  readonly what: string
  readonly ours: string
  readonly floor?: string | undefined
  readonly ratio?: number | undefined
  readonly limit: string
  readonly isWithin: boolean
}

/** Measures one promise of the library. */
export type Benchmark = () => Promise<readonly Figure[]>

/** The middle one of some numbers. */
export function median(numbers: readonly number[]): number {
  return quantile(
    [...numbers].sort((a, b) => a - b),
    0.5,
  )
}

/** The number below which a share of the sorted numbers lies. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const index = Math.min(sorted.length - 1, Math.floor(sorted.length * share))
  return sorted[index] ?? Number.NaN
}

/** Figures as aligned text. */
export function tableOf(figures: readonly Figure[]): string {
  const head = ['what', 'ours', 'floor', 'ratio', 'limit', '']
  const rows = figures.map(({ what, ours, floor = '', ratio, limit, isWithin }) => [
    what,
    ours,
    floor,
    ratio === undefined ? '' : ratio.toFixed(2),
    limit,
    isWithin ? 'ok' : 'OVER',
  ])
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n')
}
