import { memoryStore } from 'evertoken'
import {
  createProver,
  dpopKeyRing,
  type NonceKey,
  type Proof,
  type Prover,
  proofKeysOf,
  sharedNonceStore,
} from 'evertoken/dpop'
import fc from 'fast-check'
import { decodeJwt } from 'jose'
import { describe, expect, it } from 'vitest'
import { test } from '../support/fixtures.ts'
import { type Answer, type SeenRequest, tokenJson } from '../support/hostile-server.ts'
import { createTestKey, testKey } from '../support/keys.ts'
import { createTestNonces } from '../support/nonces.ts'
import { demandingNonce, nonceDemand, proofOf } from '../support/proofs.ts'

const bound = tokenJson({ token_type: 'DPoP' })
const ok = (): Answer => ({ body: '{}' })
const nonceIn = (request: SeenRequest): unknown => proofOf(request).claims.nonce

/** An answer may be so many rotations late. */
const LATE = 8

/** A server that gives nonces, as one key sees it, and what is on its way to it and back. */
interface Line {
  readonly role: NonceKey['role']
  readonly jkt: string
  readonly prover: Prover
  /** Number of the nonce that the server wants. */
  wanted: number
  /** Numbers of the nonces that the client has seen, the newest last. */
  readonly seen: number[]
  readonly requests: SentRequest[]
  readonly responses: SentResponse[]
}

interface SentRequest {
  readonly proof: Proof
  readonly nonce: number
}

interface SentResponse extends SentRequest {
  readonly given: number
  readonly isRefusal: boolean
}

const NONE = -1
const url = new URL('https://one.example/path')

describe('F9.01 N12.08 N12.09 nonces that rotate', () => {
  it('F9.01 N12.08 N12.09 no request that starts after a newer nonce was seen uses an older one, or one of another server or key', async () => {
    const keys = await Promise.all([createTestKey('EdDSA', 'a'), createTestKey('EdDSA', 'b')])
    const rings = keys.map(({ jwk }) => dpopKeyRing(jwk))
    const thumbprints = await Promise.all(rings.map((ring) => ring.thumbprint()))
    const step = fc.record({
      kind: fc.constantFrom('start', 'start', 'answer', 'answer', 'arrive', 'arrive', 'rotate'),
      line: fc.constantFrom(0, 0, 0, 1, 2, 3),
      pick: fc.nat(),
    })
    const counts = { refusals: 0, late: 0, started: 0 }
    const property = fc.asyncProperty(
      fc.array(step, { minLength: 100, maxLength: 200, size: 'max' }),
      async (steps) => {
        const { nonces } = createTestNonces()
        const lines = rings.flatMap((ring, n) =>
          (['authorization_server', 'resource_server'] as const).map((role) =>
            createLine(role, thumbprints[n] ?? '', createProver(proofKeysOf(ring), nonces)),
          ),
        )
        for (const { kind, line: n, pick } of steps) {
          const line = lines[n] as Line
          if (kind === 'rotate') line.wanted++
          else if (kind === 'start') counts.started += await start(line)
          else if (kind === 'answer') answer(line, pick)
          else arrive(line, pick, counts)
        }
      },
    )
    await fc.assert(property, { numRuns: 200 })
    // The schedules are worth something: proofs were refused, and answers came late.
    expect(counts.started).toBeGreaterThan(3000)
    expect(counts.refusals).toBeGreaterThan(300)
    expect(counts.late).toBeGreaterThan(100)
  })

  test('F9.01 a demand that is late costs nobody a round trip', async ({ manage, server, elsewhere }) => {
    server.answer = bound
    const { promise: isReleased, resolve: release } = gate()
    const { promise: hasArrived, resolve: arrived } = gate()
    let wanted = 'n-1'
    elsewhere.answer = async (request) => {
      if (request.url !== '/slow' || nonceIn(request) !== undefined) return demandingNonce(() => wanted, ok)(request)
      arrived()
      await isReleased
      return nonceDemand('n-1')
    }
    const call = manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })
    const slow = call('slow')
    await hasArrived
    expect((await call('quick')).status).toBe(200)
    wanted = 'n-2'
    expect((await call('quick')).status).toBe(200)
    release()
    expect((await slow).status).toBe(200)
    expect((await call('quick')).status).toBe(200)
    expect(elsewhere.requests.filter(({ url }) => url === '/slow').map(nonceIn)).toEqual([undefined, 'n-2'])
    expect(nonceIn(elsewhere.requests.at(-1) as SeenRequest)).toBe('n-2')
  })

  const rotations: readonly { readonly name: string; readonly every: number; readonly extra: number }[] = [
    { name: 'every response', every: 1, extra: 0 },
    { name: 'every second response', every: 2, extra: 0 },
  ]
  for (const { name, every, extra } of rotations) {
    test(`F9.01 a nonce that comes with ${name} costs no round trip but the first`, async ({
      manage,
      server,
      elsewhere,
    }) => {
      server.answer = bound
      let served = 0
      const wanted = (): string => `n-${Math.floor(served / every)}`
      elsewhere.answer = (request) => {
        if (nonceIn(request) !== wanted()) return nonceDemand(wanted())
        served++
        return { body: '{}', headers: { 'dpop-nonce': wanted() } }
      }
      const call = manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })
      for (let n = 0; n < 20; n++) expect((await call('x')).status).toBe(200)
      expect(elsewhere.requests).toHaveLength(20 + 1 + extra)
    })
  }

  test('F9.01 a nonce that comes with demands alone costs one round trip a rotation', async ({
    manage,
    server,
    elsewhere,
  }) => {
    server.answer = bound
    let wanted = 0
    elsewhere.answer = demandingNonce(() => `n-${wanted}`, ok)
    const call = manage({ dpop: true }).fetch('api', { baseUrl: elsewhere.origin })
    for (wanted = 0; wanted < 10; wanted++) {
      for (let n = 0; n < 3; n++) expect((await call('x')).status).toBe(200)
    }
    expect(elsewhere.requests).toHaveLength(30 + 10)
  })

  test('D8 two managers with one key and one store: what one learned the other starts with', async ({
    manage,
    server,
    elsewhere,
  }) => {
    const { jwk } = await testKey('ES256')
    const written: string[] = []
    const memory = memoryStore()
    const store = {
      ...memory,
      async set(...entry: Parameters<typeof memory.set>) {
        await memory.set(...entry)
        written.push(entry[1])
      },
    }
    server.answer = async (request) => {
      if (nonceIn(request) === 'of-server') return bound(request)
      return { status: 400, body: '{"error":"use_dpop_nonce"}', headers: { 'dpop-nonce': 'of-server' } }
    }
    elsewhere.answer = demandingNonce(() => 'of-api', ok)
    const call = async (): Promise<number> => {
      const tokens = manage({ dpop: jwk }, { nonceStore: sharedNonceStore(store) })
      return (await tokens.fetch('api', { baseUrl: elsewhere.origin })('x')).status
    }
    expect(await call()).toBe(200)
    await expect.poll(() => [...written].sort()).toEqual(['of-api', 'of-server'])
    expect(await call()).toBe(200)
    expect(server.requests.map(nonceIn)).toEqual([undefined, 'of-server', 'of-server'])
    expect(elsewhere.requests.map(nonceIn)).toEqual([undefined, 'of-api', 'of-api'])
  })
})

function createLine(role: NonceKey['role'], jkt: string, prover: Prover): Line {
  return { role, jkt, prover, wanted: 0, seen: [], requests: [], responses: [] }
}

function nonceOf({ role, jkt }: Line, n: number): string {
  return `${role}:${jkt}:${n}`
}

async function start(line: Line): Promise<number> {
  const { role, jkt } = line
  const seen = newest(line)
  const proof = await line.prover.prove({ role, jkt, method: 'GET', url, origin: url.origin, wallTime: 0 })
  const expected = seen === NONE ? undefined : nonceOf(line, seen)
  expect(decodeJwt(proof.value).nonce).toBe(expected)
  line.requests.push({ proof, nonce: seen })
  return 1
}

/** The server answers any request that has come in, and gives the nonce that it wants now. */
function answer({ requests, responses, wanted }: Line, pick: number): void {
  const [request] = requests.splice(pick % Math.max(1, requests.length), 1)
  if (request === undefined) return
  responses.push({ ...request, given: wanted, isRefusal: request.nonce !== wanted })
}

/**
 * Any answer comes back. Left out are those that nobody could put in order: a nonce that is older than the last one and was
 * never seen before, or more rotations late than are remembered.
 */
function arrive(line: Line, pick: number, counts: { refusals: number; late: number }): void {
  const remembered = line.seen.slice(-LATE - 1)
  const known = line.responses.filter(({ given }) => given > newest(line) || remembered.includes(given))
  const response = known[pick % Math.max(1, known.length)]
  if (response === undefined) return
  line.responses.splice(line.responses.indexOf(response), 1)
  const { proof, nonce, given, isRefusal } = response
  counts.refusals += Number(isRefusal)
  counts.late += Number(given < newest(line))
  if (given > newest(line)) line.seen.push(given)
  expect(proof.learn(nonceOf(line, given), isRefusal)).toBe(nonce !== newest(line))
}

function newest({ seen }: Line): number {
  return seen.at(-1) ?? NONE
}

function gate(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => {}
  const promise = new Promise<void>((open) => {
    resolve = open
  })
  return { promise, resolve }
}
