import { createAccessToken } from 'evertoken'
import {
  createTokenSet,
  createUserTokenManager,
  type SessionTokens,
  type TokenSet,
  tokenSetFrom,
  tokenSetText,
} from 'evertoken/session'
import { describe, expect, it } from 'vitest'
import { clientOf, rejection, test } from '../support/fixtures.ts'
import { createRotatingServer } from '../support/rotating-server.ts'
import { STARTED_AT, tokenSet } from '../support/token-sets.ts'
import { HOUR } from '../support/user-fleet.ts'

/** A session as an application keeps it in rows of its own, where each request reads it anew. */
function sessionIn(rows: Map<string, string>, id: string): SessionTokens {
  const load = (): TokenSet | undefined => tokenSetFrom(rows.get(id))
  return {
    id,
    load,
    save(set) {
      if (set.generation <= (load()?.generation ?? 0)) return false
      rows.set(id, tokenSetText(set))
      return true
    },
    clear: () => void rows.delete(id),
  }
}

describe('U6 an application keeps sets as text', () => {
  test('U6 in sessions of its own: they are refreshed, and known to the next process', async ({ server, clock }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const rows = new Map<string, string>()
    const start = () => createUserTokenManager({ clock, clients: { web: clientOf(server) } })
    const login = { ...rotating.login('alice'), claims: { role: 'user' } }
    await start().forSession('web', sessionIn(rows, 's1')).adopt(login)
    for (let n = 1; n <= 3; n++) {
      await clock.advance(HOUR)
      const alice = start().forSession('web', sessionIn(rows, 's1'))
      expect((await alice.source().getToken()).accessToken).toBe(`access-alice-${n}`)
      expect(await alice.read()).toMatchObject({ subject: 'alice', claims: { role: 'user' } })
    }
    expect(rotating.reuses).toBe(0)
  })

  it.for([
    { name: 'nothing', text: undefined },
    { name: 'no text', text: 7 },
    { name: 'a text that was cut', text: tokenSetText(tokenSet()).slice(0, -9) },
    { name: 'JSON of something else', text: '"a text"' },
    { name: 'JSON of nothing', text: 'null' },
    { name: 'another version', text: tokenSetText(tokenSet()).replace('"version":1', '"version":2') },
    { name: 'a set that was printed', text: JSON.stringify({ version: 1, ...tokenSet() }) },
    { name: 'a token that changed its type', text: tokenSetText(tokenSet()).replace('Bearer', 'DPoP') },
    { name: 'a list for claims', text: tokenSetText(tokenSet({ claims: { a: 1 } })).replace('{"a":1}', '[1]') },
  ])('$name counts as no set, and nothing is thrown', ({ text }) => {
    expect(tokenSetFrom(text)).toBeUndefined()
  })

  test('a save() that does not tell whether it kept the set is a mistake that is told', async ({ server, clock }) => {
    const rows = new Map<string, string>()
    const session = { ...sessionIn(rows, 's1'), save: (set: TokenSet) => void rows.set('s1', tokenSetText(set)) }
    const users = createUserTokenManager({ clock, clients: { web: clientOf(server) } })
    const adopted = users.forSession('web', session as never).adopt(createRotatingServer().login('alice'))
    const error = await rejection(adopted)
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'session_invalid' })
    expect(String(error)).toMatch(/save\(\).*true or false/)
  })
})

describe('bad input: createTokenSet', () => {
  const { refreshToken, ...open } = tokenSet()
  const plain = { ...open, refreshToken }
  const token = (members: object) => ({ accessTokens: [{ shape: 's', renewAt: 1, ...members }] })

  it.for([
    { name: 'nothing', set: undefined },
    { name: 'a text', set: 'secret' },
    { name: 'a set that was made into JSON and back', set: JSON.parse(JSON.stringify(tokenSet())) },
    { name: 'a set that was cloned', set: structuredClone(tokenSet()) },
    { name: 'no generation', set: { ...plain, generation: undefined } },
    { name: 'a fraction for generation', set: { ...plain, generation: 1.5 } },
    { name: 'no client', set: { ...plain, client: undefined } },
    { name: 'a number for subject', set: { ...plain, subject: 7 } },
    { name: 'a Date for startedAt', set: { ...plain, startedAt: new Date() } },
    { name: 'a number for refreshToken', set: { ...plain, refreshToken: 7 } },
    { name: 'a text for sessionExpiresAt', set: { ...plain, sessionExpiresAt: 'soon' } },
    { name: 'a text for claims', set: { ...plain, claims: 'secret' } },
    { name: 'claims that JSON cannot hold', set: { ...plain, claims: { id: 1n } } },
    { name: 'no accessTokens', set: { ...plain, accessTokens: undefined } },
    { name: 'a text for an access token', set: { ...plain, accessTokens: ['secret'] } },
    { name: 'a text for its token', set: { ...plain, ...token({ token: 'secret' }) } },
    {
      name: 'a DPoP token without its key',
      set: { ...plain, ...token({ token: { accessToken: 'secret', tokenType: 'DPoP', expiresAt: 1 } }) },
    },
  ])('refuses $name', ({ set }) => {
    const error = errorOf(() => createTokenSet(set as TokenSet))
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'token_set_invalid' })
    expect(String(error)).not.toContain('secret')
  })

  it('takes a set, and one that it has made already', () => {
    const accessTokens = [
      { shape: 's', renewAt: 1, token: createAccessToken({ accessToken: 'a', tokenType: 'Bearer', expiresAt: 2 }) },
    ]
    const set = createTokenSet({ generation: 1, client: 'web', subject: 'alice', startedAt: STARTED_AT, accessTokens })
    expect(createTokenSet(set)).toBe(set)
    expect(createTokenSet(plain).refreshToken).toBe('refresh-1')
  })
})

function errorOf(work: () => unknown): unknown {
  try {
    return work()
  } catch (error) {
    return error
  }
}
