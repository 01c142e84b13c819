import { decodeJwt } from 'jose'
import { describe, expect, it } from 'vitest'
import { createDPoPCheck } from '../../demo/dpop-check.ts'
import {
  nonces,
  type RotatingNonces,
  rotatedByAnswers,
  rotatedByTime,
  toldInRefusals,
} from '../../demo/nonce-policy.ts'
import { checked, JKT, NOW, proof } from './handmade-proofs.ts'

describe('replay (RFC 9449 section 11.1)', () => {
  const replayed = { refusal: { error: 'invalid_dpop_proof', message: 'jti has been used' } }

  it('refuses the same proof again, and another one with its jti', async () => {
    const { send, record } = checked()
    const jwt = await proof()
    expect(await send(jwt)).toMatchObject({ refusal: undefined })
    expect(await send(jwt)).toMatchObject(replayed)
    expect(await send(await proof({ claims: { jti: decodeJwt(jwt).jti } }))).toMatchObject(replayed)
    expect(record.proofs.map(({ outcome }) => outcome)).toEqual([
      'accepted',
      'invalid_dpop_proof',
      'invalid_dpop_proof',
    ])
  })

  it('lets one of many through that come at once', async () => {
    const { send } = checked()
    const jwt = await proof()
    const verdicts = await Promise.all(Array.from({ length: 20 }, () => send(jwt)))
    expect(verdicts.filter(({ refusal }) => refusal === undefined)).toHaveLength(1)
  })

  it('takes the same jti for another target', async () => {
    const { check } = createDPoPCheck({ now: () => NOW })
    for (const path of ['a', 'b']) {
      const url = `https://api.test/${path}`
      const dpop = await proof({ claims: { jti: 'same', htu: url } })
      const request = { method: 'GET', url, headers: { dpop, authorization: 'DPoP T' } }
      expect(await check(request, async () => ({ cnf: { jkt: JKT } }))).toMatchObject({ refusal: undefined })
    }
  })

  it('remembers a proof for as long as it would pass otherwise', async () => {
    let now = NOW
    const { send } = checked({ now: () => now })
    const jwt = await proof({ claims: { iat: NOW / 1000 + 60 } })
    expect(await send(jwt)).toMatchObject({ refusal: undefined })
    now += 120_000
    expect(await send(jwt)).toMatchObject(replayed)
    now += 1
    expect(await send(jwt)).toMatchObject({ refusal: { message: 'iat is too far from now' } })
  })

  it('remembers no more proofs than it is told to', async () => {
    const { send } = checked({ remembers: 2 })
    const [first = '', second = '', third = ''] = await Promise.all([proof(), proof(), proof()])
    for (const jwt of [first, second, third]) await send(jwt)
    expect(await send(third)).toMatchObject(replayed)
    expect(await send(second)).toMatchObject({ refusal: { message: 'jti has been used' } })
    expect(await send(first)).toMatchObject({ refusal: undefined })
  })

  it('records no more proofs than it is told to', async () => {
    const { send, record } = checked({ records: 2 })
    for (const jti of ['a', 'b', 'c']) await send(await proof({ claims: { jti } }))
    expect(record.proofs.map(({ claims }) => claims.jti)).toEqual(['b', 'c'])
    expect(record.accepted).toBe(3)
  })
})

describe('nonces', () => {
  /** Sends a proof with a nonce and tells the error, if there is one, and the nonce that came back. */
  function sender(policy: RotatingNonces) {
    const { send } = checked({ nonces: policy })
    return async (nonce?: string): Promise<readonly [string, string | undefined]> => {
      const { refusal, headers } = await send(await proof({ claims: { nonce } }))
      return [refusal?.error ?? 'accepted', headers['dpop-nonce']]
    }
  }

  it('go with every refusal, and with an answer once they have changed', async () => {
    const policy = nonces({ accepted: 2 })
    const send = sender(policy)
    const first = policy.current
    expect(await send()).toEqual(['use_dpop_nonce', first])
    expect(await send(first)).toEqual(['accepted', undefined])
    policy.rotate()
    const second = policy.current
    expect(second).not.toBe(first)
    expect(await send(first)).toEqual(['accepted', second])
    policy.rotate()
    expect(await send(first)).toEqual(['use_dpop_nonce', policy.current])
    expect(await send(second)).toEqual(['accepted', policy.current])
  })

  it('go with a refusal for another reason', async () => {
    const policy = nonces()
    const { send } = checked({ nonces: policy })
    const verdict = await send(await proof({ claims: { nonce: policy.current, htm: 'PUT' } }))
    expect(verdict).toMatchObject({
      refusal: { error: 'invalid_dpop_proof' },
      headers: { 'dpop-nonce': policy.current },
    })
  })

  it('change with time', async () => {
    let now = 0
    const policy = rotatedByTime(nonces(), { everyMs: 2000, now: () => now })
    const send = sender(policy)
    const first = policy.current
    now = 1999
    expect(await send(first)).toEqual(['accepted', undefined])
    now = 2000
    expect(await send(first)).toEqual(['use_dpop_nonce', policy.current])
    const second = policy.current
    now = 20_000
    expect(await send(second)).toEqual(['use_dpop_nonce', policy.current])
    expect(policy.current).not.toBe(second)
  })

  it('change with every answer, or with every second one', async () => {
    const each = rotatedByAnswers(nonces(), { every: 1 })
    const first = each.current
    const sendToEach = sender(each)
    const [, second] = await sendToEach(first)
    expect(second).toBe(each.current)
    expect(await sendToEach(first)).toEqual(['use_dpop_nonce', second])
    expect(await sendToEach(second)).toEqual(['accepted', each.current])

    const alternate = rotatedByAnswers(nonces(), { every: 2 })
    const third = alternate.current
    const sendToAlternate = sender(alternate)
    expect(await sendToAlternate(third)).toEqual(['accepted', undefined])
    expect(await sendToAlternate(third)).toEqual(['accepted', alternate.current])
    expect(alternate.current).not.toBe(third)
  })

  it('come in refusals only', async () => {
    const policy = toldInRefusals(nonces({ accepted: 2 }))
    const send = sender(policy)
    const first = policy.current
    policy.rotate()
    expect(await send(first)).toEqual(['accepted', undefined])
    policy.rotate()
    expect(await send(first)).toEqual(['use_dpop_nonce', policy.current])
  })
})
