import { type Figure, median } from './figures.ts'
import { ratios } from './rounds.ts'

/** Makes the figures of subjects that were measured in turns with one floor: less is better, and a subject without a limit is a peer. */
export function besideFloor(
  floor: readonly number[],
  shown: (value: number) => string,
): (what: string, subject: readonly number[], limit?: number) => Figure {
  return (what, subject, limit) => {
    const ratio = median(ratios(subject, floor))
    return {
      what,
      ours: shown(median(subject)),
      floor: shown(median(floor)),
      ratio,
      limit: limit === undefined ? 'a peer' : `ratio ${limit}`,
      isWithin: limit === undefined || ratio <= limit,
    }
  }
}
