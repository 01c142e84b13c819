import { type CarriedSession, type CookieSessions, type CookieSessionsOptions, cookieSessions } from 'evertoken/session'
import { type CookieJar, createCookieJar } from './cookie-jar.ts'
import { createRecorder, type Recorder } from './fixtures.ts'
import { createTestClock, type TestClock } from './test-clock.ts'
import { STARTED_AT, tokenSet } from './token-sets.ts'

/** The key that cookies are encrypted with unless a test says otherwise. */
export const KEY: Uint8Array = Uint8Array.from({ length: 32 }, (_, at) => at * 7)

/** An application whose sessions are in cookies, and what it told telemetry. */
export interface CookieWorld {
  readonly sessions: CookieSessions
  readonly clock: TestClock
  readonly recorder: Recorder
}

/** Makes one. */
export function cookieWorld(options: Partial<CookieSessionsOptions> = {}, clock?: TestClock): CookieWorld {
  const recorder = createRecorder()
  const time = clock ?? createTestClock(STARTED_AT)
  const keys = [{ id: '2026-01', key: KEY }]
  return { sessions: cookieSessions({ keys, clock: time, telemetry: recorder, ...options }), clock: time, recorder }
}

/** A browser in which a session was begun. */
export async function browserWith({ sessions }: CookieWorld, set = tokenSet()): Promise<CookieJar> {
  const jar = createCookieJar()
  const session = await sessions.fromRequest(undefined)
  await session.save(set)
  jar.take(session.setCookies)
  return jar
}

/** What a request finds with this `Cookie` header. */
export async function found(
  { sessions, recorder }: CookieWorld,
  header: string,
): Promise<{ readonly session: CarriedSession; readonly subject: string | undefined; readonly reasons: unknown[] }> {
  const from = recorder.events.length
  const session = await sessions.fromRequest(header)
  const set = await session.load()
  const reasons = recorder.events.slice(from).map((event) => ('reason' in event ? event.reason : event.name))
  return { session, subject: set?.subject, reasons }
}
