import { inspect } from 'node:util'
import { type Awaitable, createAccessToken } from 'evertoken'
import type { SessionTokens } from 'evertoken/session'
import { expect, it } from 'vitest'
import { contentOf, STARTED_AT, tokenSet } from './token-sets.ts'

/** Sessions, and the time that they go by. */
export interface SessionsUnderTest {
  /** A new session. */
  create(): Awaitable<SessionTokens>
  /** The same session as the user's next request has it; of a carried one, with what the responses so far have brought the browser. */
  next(session: SessionTokens): Awaitable<SessionTokens>
  /** Moves time on; the clock begins at {@link STARTED_AT}. */
  advance(ms: number): Awaitable<void>
  readonly idleMs: number
  readonly absoluteMs: number
}

const G = STARTED_AT

const SETS = [
  { name: 'an access token and a refresh token', set: tokenSet() },
  { name: 'no refresh token', set: tokenSet({ refreshToken: undefined, endedBecause: 'refresh_token_rejected' }) },
  { name: 'no access token', set: tokenSet({ accessTokens: [] }) },
  { name: 'no issuer', set: tokenSet({ issuer: undefined }) },
  {
    name: 'everything',
    set: tokenSet({
      refreshTokenExpiresAt: STARTED_AT + 1e9,
      jkt: 'thumbprint',
      idToken: 'e30.e30.e30',
      claims: { name: 'Zoë 🔑', roles: ['a', 'b'], nested: { empty: {} } },
      accessTokens: ['one', 'two'].map((shape) => ({
        shape: `["${shape}","é"]`,
        renewAt: STARTED_AT + 5,
        token: createAccessToken({
          accessToken: `access-${shape}`,
          tokenType: 'DPoP',
          jkt: 'thumbprint',
          scope: 'a b',
          expiresAt: STARTED_AT + 10,
        }),
      })),
    }),
  },
  {
    name: 'odd texts',
    set: tokenSet({ subject: 'a|b;c=d, "é"\n\u{10ffff}', claims: { __proto__x: '; Path=/', 'a;b': '\0' } }),
  },
]

/** What everybody may expect of {@link SessionTokens}, as tests; to be called inside `describe`. The factory is asked for every test. */
export function itKeepsTheSessionContract(create: () => Awaitable<SessionsUnderTest>): void {
  const keeps = (name: string, body: (session: SessionTokens, sessions: SessionsUnderTest) => Promise<void>): void =>
    it(name, async () => {
      const sessions = await create()
      await body(await sessions.create(), sessions)
    })

  keeps('has an id that no other session has, of 128 bits or more', async ({ id }, sessions) => {
    expect(id).toMatch(/^[\w-]{22,}$/)
    expect((await sessions.create()).id).not.toBe(id)
  })

  keeps('gives undefined before anything was saved', async (session, sessions) => {
    expect(await session.load()).toBeUndefined()
    expect(await (await sessions.next(session)).load()).toBeUndefined()
  })

  for (const { name, set } of SETS) {
    keeps(`gives a set with ${name} as it was, now and at the next request`, async (session, sessions) => {
      expect(await session.save(set)).toBe(true)
      const next = await sessions.next(session)
      expect(contentOf(await session.load())).toEqual(contentOf(set))
      expect(contentOf(await next.load())).toEqual(contentOf(set))
      expect(next.id).toBe(session.id)
    })
  }

  keeps('keeps a higher generation, and no other', async (session, sessions) => {
    const saved: boolean[] = []
    for (const generation of [G, G + 1, G + 1, G, G + 5, G + 4]) {
      saved.push(await session.save(tokenSet({ generation, refreshToken: `refresh-${generation}` })))
    }
    expect(saved).toEqual([true, true, false, false, true, false])
    expect((await session.load())?.refreshToken).toBe(`refresh-${G + 5}`)
    expect((await (await sessions.next(session)).load())?.generation).toBe(G + 5)
  })

  keeps('goes by generation at the next request too', async (session, sessions) => {
    await session.save(tokenSet({ generation: G + 2 }))
    const next = await sessions.next(session)
    expect(await next.save(tokenSet({ generation: G + 2, refreshToken: 'late' }))).toBe(false)
    expect(await next.save(tokenSet({ generation: G + 3, refreshToken: 'new' }))).toBe(true)
    expect((await (await sessions.next(next)).load())?.refreshToken).toBe('new')
  })

  keeps('has the newest of sets that are saved at once', async (session, sessions) => {
    const generations = Array.from({ length: 20 }, (_, at) => G + ((at * 7) % 20))
    await Promise.all(generations.map((generation) => session.save(tokenSet({ generation }))))
    expect((await session.load())?.generation).toBe(G + 19)
    expect((await (await sessions.next(session)).load())?.generation).toBe(G + 19)
  })

  keeps('gives nothing once it was cleared, and keeps nothing of that sign-in', async (session, sessions) => {
    await session.save(tokenSet())
    await sessions.advance(60_000)
    await session.clear()
    const next = await sessions.next(session)
    expect([await session.load(), await next.load()]).toEqual([undefined, undefined])
    expect(await session.save(tokenSet({ generation: G + 1 }))).toBe(false)
    const after = await sessions.next(session)
    expect([await session.load(), await after.load()]).toEqual([undefined, undefined])
  })

  keeps('can be cleared before anything was saved, and twice', async (session, sessions) => {
    await sessions.advance(60_000)
    await session.clear()
    await session.clear()
    expect(await session.save(tokenSet())).toBe(false)
    expect(await (await sessions.next(session)).load()).toBeUndefined()
  })

  keeps('has nothing of a save that the end overtakes', async (session, sessions) => {
    await session.save(tokenSet())
    await sessions.advance(60_000)
    await Promise.all([session.save(tokenSet({ generation: G + 1 })), session.clear()])
    expect(await session.load()).toBeUndefined()
    expect(await (await sessions.next(session)).load()).toBeUndefined()
  })

  keeps('takes a new sign-in after the end', async (session, sessions) => {
    await session.save(tokenSet())
    await sessions.advance(60_000)
    await session.clear()
    const later = G + 60_001
    await sessions.advance(1)
    expect(await session.save(tokenSet({ generation: later, startedAt: later, subject: 'bob' }))).toBe(true)
    expect((await (await sessions.next(session)).load())?.subject).toBe('bob')
  })

  keeps('A6.08 is over when nothing was written for so long', async (session, sessions) => {
    await session.save(tokenSet())
    await sessions.advance(sessions.idleMs)
    expect(await (await sessions.next(session)).load()).toBeUndefined()
  })

  keeps('A6.08 goes on when something is written in time, until its absolute end', async (session, sessions) => {
    const step = Math.floor(sessions.idleMs * 0.75)
    let current = session
    let generation = G
    for (let age = 0; age < sessions.absoluteMs; age += step) {
      await current.save(tokenSet({ generation: generation++ }))
      current = await sessions.next(current)
      expect(await current.load(), `after ${age} ms`).toBeDefined()
      await sessions.advance(step)
    }
    expect(await current.load()).toBeUndefined()
    expect(await (await sessions.next(current)).load()).toBeUndefined()
  })

  keeps('A6.08 goes on while somebody reads in time, until its absolute end', async (session, sessions) => {
    const step = Math.floor(sessions.idleMs * 0.75)
    await session.save(tokenSet())
    let current = await sessions.next(session)
    for (let age = 0; age < sessions.absoluteMs; age += step) {
      expect(await current.load(), `after ${age} ms`).toBeDefined()
      current = await sessions.next(current)
      await sessions.advance(step)
    }
    expect(await current.load()).toBeUndefined()
  })

  keeps('A6.08 a reader that puts off the end is not in the way of the next set', async (session, sessions) => {
    await session.save(tokenSet())
    await sessions.advance(Math.ceil(sessions.idleMs / 2))
    const next = await sessions.next(session)
    await next.load()
    expect(await next.save(tokenSet({ generation: G + 1, refreshToken: 'new' }))).toBe(true)
    expect((await (await sessions.next(next)).load())?.refreshToken).toBe('new')
  })

  keeps('A6.01 a sign-in in the place of another one gets an id of its own', async (session, sessions) => {
    await session.save(tokenSet())
    const [planted, victim] = [await sessions.next(session), await sessions.next(session)]
    await sessions.advance(1000)
    const later = G + 1000
    expect(await victim.save(tokenSet({ generation: later, startedAt: later, subject: 'bob' }))).toBe(true)
    expect(victim.id).not.toBe(session.id)
    expect((await (await sessions.next(victim)).load())?.subject).toBe('bob')
    expect((await planted.load())?.subject).not.toBe('bob')
  })

  keeps('A2.03 shows no token when it is printed, nor its id, which is all that a browser needs', async (session) => {
    await session.save(tokenSet({ idToken: 'secret-id-token', refreshToken: 'secret-refresh-token' }))
    const shown = [inspect(session, { depth: 9, showHidden: true }), JSON.stringify(session), String(session)].join()
    expect(shown).not.toContain('secret')
    expect(shown).not.toContain('access-1')
    expect(shown).not.toContain(session.id)
  })
}
