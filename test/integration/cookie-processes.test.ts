import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cookieSessions, type TokenSet } from 'evertoken/session'
import { afterEach, beforeEach, describe, expect } from 'vitest'
import { type Browser, createBrowser, type Page } from '../support/cookie-app.ts'
import { createCookieJar } from '../support/cookie-jar.ts'
import { type CookieProcess, startCookieProcess } from '../support/cookie-processes.ts'
import { test } from '../support/fixtures.ts'
import { hasRedis, type RedisServer, startRedis } from '../support/redis.ts'
import { createRotatingServer, type Login } from '../support/rotating-server.ts'

const HOUR = 3_600_000
/** In each of the two tabs, one after the other but for a few at a time. */
const CALLS_PER_TAB = 48
const IN_FLIGHT_PER_TAB = 2

/** One user, the browser with its tabs, and what came of them. */
interface User {
  readonly name: string
  readonly browser: Browser
  readonly pages: Page[]
}

/** A tab that goes from process to process, with so many requests at a time. */
async function useTab({ browser, pages }: User, fleet: readonly CookieProcess[], first: number): Promise<void> {
  let n = 0
  const lane = async (): Promise<void> => {
    while (n < CALLS_PER_TAB) pages.push(await browser.open(processOf(fleet, first + n++), '/call'))
  }
  await Promise.all(Array.from({ length: IN_FLIGHT_PER_TAB }, lane))
}

function processOf(fleet: readonly CookieProcess[], n: number): CookieProcess {
  return fleet[n % fleet.length] as CookieProcess
}

/** Signed in an hour ago: the access token has expired since. */
function loginPath(login: Login): string {
  return `/login?${new URLSearchParams({ login: JSON.stringify({ ...login, receivedAt: Date.now() - HOUR }) })}`
}

describe.skipIf(!hasRedis && process.env.CI === undefined)('F5.12 F5.02 S6 processes with sessions in cookies', () => {
  const key = randomBytes(32).toString('base64url')
  const children: ChildProcess[] = []
  let redis: RedisServer
  beforeEach(async () => {
    redis = await startRedis()
  })
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL')
    await redis.stop()
  })

  /** What a browser would have after this. */
  async function setIn(setCookies: readonly string[]): Promise<TokenSet | undefined> {
    const jar = createCookieJar()
    jar.take(setCookies)
    return (await cookieSessions({ keys: [{ id: 'a', key }] }).fromRequest(jar.header)).load()
  }

  test('F5.12 F5.02 S6 4 processes, 100 users, two tabs each, 10,000 requests, everything expired in the same second, store and lock on Redis: one refresh for each user, no reuse, no call that fails, and the newest cookie for every request that came with the one of before', {
    timeout: 120_000,
  }, async ({ server }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const options = { tokenEndpoint: server.tokenEndpoint, redisPort: redis.port, key }
    const fleet = await Promise.all([1, 2, 3, 4].map(() => startCookieProcess(options)))
    children.push(...fleet.map(({ child }) => child))

    const users = Array.from(
      { length: 100 },
      (_, n): User => ({ name: `user${n}`, browser: createBrowser(), pages: [] }),
    )
    await Promise.all(
      users.map(({ name, browser }, n) => browser.open(processOf(fleet, n), loginPath(rotating.login(name)))),
    )
    const before = users.map(({ browser }) => createBrowser(browser.jar))
    await Promise.all(users.flatMap((user, n) => [useTab(user, fleet, n), useTab(user, fleet, n + 2)]))
    // Requests that come late with the cookie of before, one to each process.
    for (const process of fleet) {
      await Promise.all(
        users.map(async ({ pages }, n) => pages.push(await (before[n] as Browser).openLate(process, '/call'))),
      )
    }

    let late = 0
    for (const [n, { name, browser, pages }] of users.entries()) {
      expect(pages).toHaveLength(100)
      expect(new Set(pages.map(({ status, body }) => `${status} ${body}`))).toEqual(new Set([`200 access-${name}-1`]))
      for (const { sent, setCookies } of pages) {
        if (sent !== before[n]?.jar.header) {
          // It had the newest one already.
          expect(setCookies).toEqual([])
          continue
        }
        late++
        expect((await setIn(setCookies))?.refreshToken).toBe(`refresh-${name}-1`)
      }
      const kept = [...browser.jar.cookies].map(([cookie, value]) => `${cookie}=${value}`)
      expect((await setIn(kept))?.refreshToken).toBe(`refresh-${name}-1`)
      expect(rotating.refreshes.get(name)).toBe(1)
      expect(rotating.isAlive(name)).toBe(true)
    }
    // Every tab had begun before the first answer was there.
    expect(late).toBeGreaterThanOrEqual(100 * (2 * IN_FLIGHT_PER_TAB + fleet.length))
    expect(server.requests).toHaveLength(100)
    expect(rotating.reuses).toBe(0)
  })
})
