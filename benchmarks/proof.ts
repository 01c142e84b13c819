import { createHash, generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto'
import { type AccessToken, authorizerFrom, createAccessToken, staticSource } from 'evertoken'
import { createProof, dpopKeyRing } from 'evertoken/dpop'
import type { Signer } from 'evertoken/keys'
import { nodeSigner } from 'evertoken/node'
import { besideFloor } from './beside-floor.ts'
import type { Figure } from './figures.ts'
import { cryptoKeysOf, ofDpop, ofOpenidClient } from './proof-peers.ts'
import { interleaved } from './rounds.ts'

const CALLS = 300
const HOUR = 3_600_000

/** What every proof is about. The token is as long as a small JWT. */
export interface ProofOf {
  readonly method: string
  readonly url: string
  readonly nonce: string
  readonly accessToken: string
}

const CONTENT: ProofOf = {
  method: 'GET',
  url: 'https://api.example/orders/4711',
  nonce: 'eyJ7S_zG.eyJH0-Z.HX4w-7v',
  accessToken: 'a'.repeat(800),
}

/** Makes so many proofs, one after another. */
export type ProofWork = (calls: number) => Promise<void>

/** What a floor and a hand-made proof sign with. */
interface BareKey {
  readonly alg: string
  readonly key: KeyObject
  readonly hash: string | null
}

function bareSign({ key, hash }: BareKey, bytes: number): ProofWork {
  const input = new Uint8Array(bytes).fill(97)
  return async (calls) => {
    for (let call = 0; call < calls; call++) sign(hash, input, { key, dsaEncoding: 'ieee-p1363' })
  }
}

/** What somebody writes who has one key, one API and no time: all that stays the same is worked out before. */
function handMade({ alg, key, hash }: BareKey, publicKey: KeyObject): ProofWork {
  const jwk = publicKey.export({ format: 'jwk' })
  const header = Buffer.from(JSON.stringify({ typ: 'dpop+jwt', alg, jwk })).toString('base64url')
  const { method: htm, url: htu, nonce, accessToken } = CONTENT
  const ath = createHash('sha256').update(accessToken).digest('base64url')
  const once = (): string => {
    const claims = { jti: randomUUID(), htm, htu, iat: Math.floor(Date.now() / 1000), ath, nonce }
    const input = `${header}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`
    const signature = sign(hash, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' })
    return `${input}.${signature.toString('base64url')}`
  }
  return async (calls) => {
    for (let call = 0; call < calls; call++) once()
  }
}

function ours(signer: Signer, token: AccessToken): ProofWork {
  const { method, nonce } = CONTENT
  const url = new URL(CONTENT.url)
  return async (calls) => {
    for (let call = 0; call < calls; call++) await createProof(signer, { method, url, nonce, accessToken: token })
  }
}

/** The way of every request: where it goes is checked, the source is asked, the nonce is the one that the server gave last. */
async function ofAuthorizer(signer: Signer, token: AccessToken): Promise<ProofWork> {
  const url = new URL(CONTENT.url)
  const authorizer = authorizerFrom(staticSource(token), { baseUrl: url.origin }, { dpop: dpopKeyRing(signer) })
  const target = { method: CONTENT.method, url }
  const first = await authorizer.begin(target)
  first.next({ status: 200, header: (name) => (name === 'dpop-nonce' ? CONTENT.nonce : undefined) })
  return async (calls) => {
    for (let call = 0; call < calls; call++) await authorizer.begin(target)
  }
}

/** One DPoP proof with `ath` and `nonce`, ES256 and EdDSA. */
export async function proof(): Promise<readonly Figure[]> {
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const ed = generateKeyPairSync('ed25519')
  return [
    ...(await proofsWith({ alg: 'ES256', key: ec.privateKey, hash: 'sha256' }, ec.publicKey)),
    ...(await proofsWith({ alg: 'EdDSA', key: ed.privateKey, hash: null }, ed.publicKey)),
  ]
}

async function proofsWith(bare: BareKey, publicKey: KeyObject): Promise<readonly Figure[]> {
  const { alg, key } = bare
  const signer = nodeSigner(key.export({ format: 'pem', type: 'pkcs8' }).toString())
  const jkt = await dpopKeyRing(signer).thumbprint()
  const { accessToken } = CONTENT
  const token = createAccessToken({ accessToken, tokenType: 'DPoP', expiresAt: Date.now() + HOUR, jkt })
  const made = await createProof(signer, CONTENT)
  const keys = await cryptoKeysOf(key, publicKey)
  const timed = (work: ProofWork) => () => microsecondsPerProof(work)
  const times = await interleaved(
    {
      floor: timed(bareSign(bare, made.lastIndexOf('.'))),
      ours: timed(ours(signer, token)),
      authorizer: timed(await ofAuthorizer(signer, token)),
      handMade: timed(handMade(bare, publicKey)),
      dpop: timed(ofDpop(keys, CONTENT)),
      openidClient: timed(ofOpenidClient(keys, CONTENT)),
    },
    { turns: 31, warmUps: 6 },
  )
  const figure = besideFloor(times.floor, (us) => `${us.toFixed(1)} us`)
  return [
    figure(`${alg} proof beside crypto.sign`, times.ours, 1.35),
    figure(`${alg} headers of a request, proof included`, times.authorizer),
    figure(`${alg} proof, made by hand`, times.handMade),
    figure(`${alg} proof with dpop`, times.dpop),
    figure(`${alg} proof with openid-client`, times.openidClient),
  ]
}

async function microsecondsPerProof(work: ProofWork): Promise<number> {
  const startedAt = process.hrtime.bigint()
  await work(CALLS)
  return Number(process.hrtime.bigint() - startedAt) / CALLS / 1000
}
