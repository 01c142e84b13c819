import { describe, expect, it, vi } from 'vitest'
import { jwtOf } from '../support/jwt-samples.ts'
import { SIGNING_ALGS } from '../support/keys.ts'

const { datesOf } = await vi.importActual<typeof import('../../src/node/assertion-check.ts')>(
  '../../src/node/assertion-check.ts',
)

const segment = (text: string): string => Buffer.from(text).toString('base64url')

describe('a whole JWT', () => {
  it.each(SIGNING_ALGS)('is one that is signed with %s, and not one that lacks its last characters', async (alg) => {
    const jwt = await jwtOf({ exp: 9, iat: 5, jti: 'j' }, alg)
    expect(datesOf(jwt)).toEqual({ exp: 9, iat: 5, jti: 'j' })
    // Eight bytes of a signature are eleven characters at most.
    const cut = Array.from({ length: 9 }, (_, n) => jwt.slice(0, -1 - n))
    expect(cut.filter((text) => datesOf(text) !== undefined)).toEqual([])
  })

  const parts = { header: '{"alg":"X"}', claims: '{}', signature: 'AAAA' }
  const rows: readonly { readonly name: string; readonly text: string; readonly isWhole: boolean }[] = [
    { name: 'an algorithm that nobody knows', text: `${segment(parts.header)}.e30.AAAA`, isWhole: true },
    {
      name: 'an algorithm with the name of a method',
      text: `${segment('{"alg":"toString"}')}.e30.AAAA`,
      isWhole: true,
    },
    { name: 'no signature', text: `${segment(parts.header)}.e30.`, isWhole: false },
    { name: 'no algorithm', text: `${segment('{}')}.e30.AAAA`, isWhole: false },
    { name: 'four parts', text: `${segment(parts.header)}.e30.AAAA.AAAA`, isWhole: false },
    { name: 'two parts', text: `${segment(parts.header)}.e30`, isWhole: false },
    { name: 'padding', text: `${segment(parts.header)}.e30=.AAAA`, isWhole: false },
    { name: 'an impossible number of characters', text: `${segment(parts.header)}.e30.AAAAA`, isWhole: false },
    { name: 'claims that are no object', text: `${segment(parts.header)}.${segment('[]')}.AAAA`, isWhole: false },
    {
      name: 'an RSA signature of 64 bytes',
      text: `${segment('{"alg":"RS256"}')}.e30.${segment('x'.repeat(64))}`,
      isWhole: false,
    },
    { name: 'Ed448', text: `${segment('{"alg":"EdDSA"}')}.e30.${segment('x'.repeat(114))}`, isWhole: true },
    { name: 'HS256', text: `${segment('{"alg":"HS256"}')}.e30.${segment('x'.repeat(32))}`, isWhole: true },
    { name: 'nothing', text: '', isWhole: false },
  ]
  it.each(rows)('with $name: $isWhole', ({ text, isWhole }) => {
    expect(datesOf(text) !== undefined).toBe(isWhole)
  })

  it('has no dates of another kind than numbers', () => {
    const claims = segment('{"exp":"9","iat":null,"jti":7}')
    expect(datesOf(`${segment(parts.header)}.${claims}.AAAA`)).toEqual({
      exp: undefined,
      iat: undefined,
      jti: undefined,
    })
  })
})
