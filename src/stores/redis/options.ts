import { optionInvalid } from '../../token/index.ts'
import { describe } from '../../util/index.ts'

/** What the keys and channels of this package begin with, unless the user says otherwise. */
export const DEFAULT_PREFIX = 'evertoken:'

/** Refuses a prefix that is no text. */
export function assertPrefix(subject: string, prefix: unknown): void {
  if (typeof prefix !== 'string') throw optionInvalid(subject, `prefix to be a string, got ${describe(prefix)}`)
}
