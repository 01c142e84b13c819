/** A session, as an index names it. */
export interface SessionEntry {
  /** Key of its record. */
  readonly key: string
  /** When its sign-in was, which tells it from what came later under the same key. */
  readonly startedAt: number
  /** When it is over, whatever happens. */
  readonly until: number
  /** Under what name the index has it by its `sid`. */
  readonly sid?: string | undefined
}

/** What is kept under one name. */
export interface IndexRecord {
  /** None where there is nothing yet. */
  readonly version: number | undefined
  readonly entries: readonly SessionEntry[]
  /** When everything under this name was ended, by the server's clock. */
  readonly loggedOutAt?: number | undefined
}

/** So many sessions a user may have: what nobody can find any more must not go on. */
const MAX_ENTRIES = 500

/** Reads a record; what is over is left out. Nothing where there is something that was not written here. */
export function indexRecordFrom(text: string | undefined, now: number): IndexRecord | undefined {
  if (text === undefined) return { version: undefined, entries: [] }
  const { version, entries, loggedOutAt } = members(text)
  if (!Number.isSafeInteger(version) || !Array.isArray(entries)) return undefined
  return {
    version: Number(version),
    entries: entries.filter((entry: unknown): entry is SessionEntry => isEntry(entry) && now < entry.until),
    loggedOutAt: typeof loggedOutAt === 'number' ? loggedOutAt : undefined,
  }
}

/** The record with a session, the same where it has it already; nothing where there is no room for one more. */
export function withEntry(record: IndexRecord, entry: SessionEntry): IndexRecord | undefined {
  if (record.entries.some((each) => isSame(each, entry))) return record
  const others = othersThan(record, entry)
  if (others.length >= MAX_ENTRIES) return undefined
  return { ...record, entries: [...others, entry].sort((a, b) => a.startedAt - b.startedAt) }
}

/** What else is there, the oldest first. One key is one session: what was under it is over. */
export function othersThan(record: IndexRecord, { key }: SessionEntry): readonly SessionEntry[] {
  return record.entries.filter((each) => each.key !== key)
}

/** The record without some sessions; the same where it has none of them. */
export function withoutEntries(record: IndexRecord, entries: readonly SessionEntry[]): IndexRecord {
  const left = record.entries.filter((each) => !entries.some((entry) => isSame(each, entry)))
  return left.length === record.entries.length ? record : { ...record, entries: left }
}

function isSame(one: SessionEntry, other: SessionEntry): boolean {
  return one.key === other.key && one.startedAt === other.startedAt
}

function isEntry(value: unknown): value is SessionEntry {
  const { key, startedAt, until } = Object(value)
  return typeof key === 'string' && typeof startedAt === 'number' && typeof until === 'number'
}

function members(text: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(text))
  } catch {
    return {}
  }
}
