/** What canonical text can be made of. */
export type Canonical = string | number | boolean | null | readonly Canonical[]

/**
 * One text for one value and one value for one text: JSON of arrays, in which no separator can be forged and an absent
 * part (`null`) differs from an empty one. Strings are taken as they are, without Unicode normalisation.
 */
export function canonicalText(value: readonly Canonical[]): string {
  return JSON.stringify(value)
}

/** A set of strings in one order, without repetition. */
export function canonicalSet(values: Iterable<string>): readonly string[] {
  return [...new Set(values)].sort()
}

/** Named values in one order. */
export function canonicalRecord(record: Readonly<Record<string, string>>): readonly (readonly [string, string])[] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1))
}
