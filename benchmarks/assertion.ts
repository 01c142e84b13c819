import { generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto'
import { privateKeyJwt } from 'evertoken'
import { nodeSigner } from 'evertoken/node'
import { importPKCS8, SignJWT } from 'jose'
import * as oauth from 'oauth4webapi'
import { besideFloor } from './beside-floor.ts'
import type { Figure } from './figures.ts'
import { interleaved } from './rounds.ts'

const CALLS = 2_000
const ISSUER = 'https://as.example'
const TOKEN_ENDPOINT = `${ISSUER}/token`
/** As long as what is signed below. */
const SIGNING_INPUT = new Uint8Array(350).fill(97)

type Work = (calls: number) => Promise<void>

function bareSign(key: KeyObject): Work {
  return async (calls) => {
    for (let call = 0; call < calls; call++) sign('sha256', SIGNING_INPUT, { key, dsaEncoding: 'ieee-p1363' })
  }
}

function ours(pem: string): Work {
  const authentication = privateKeyJwt(nodeSigner(pem, { kid: 'k1' }))
  const url = new URL(TOKEN_ENDPOINT)
  const headers = new Headers()
  const client = { clientName: 'main', clientId: 'bench', issuer: ISSUER, tokenEndpoint: url }
  return async (calls) => {
    for (let call = 0; call < calls; call++) {
      await authentication.apply({ url, body: new URLSearchParams(), headers }, client)
    }
  }
}

async function ofJose(pem: string): Promise<Work> {
  const key = await importPKCS8(pem, 'ES256')
  return async (calls) => {
    for (let call = 0; call < calls; call++) {
      await new SignJWT({ jti: randomUUID() })
        .setProtectedHeader({ alg: 'ES256', typ: 'client-authentication+jwt', kid: 'k1' })
        .setIssuer('bench')
        .setSubject('bench')
        .setAudience(ISSUER)
        .setIssuedAt()
        .setExpirationTime('60s')
        .sign(key)
    }
  }
}

async function ofOauth4webapi(pem: string): Promise<Work> {
  const authenticate = oauth.PrivateKeyJwt({ key: await importPKCS8(pem, 'ES256'), kid: 'k1' })
  const server = { issuer: ISSUER, token_endpoint: TOKEN_ENDPOINT }
  const headers = new Headers()
  return async (calls) => {
    for (let call = 0; call < calls; call++) {
      await authenticate(server, { client_id: 'bench' }, new URLSearchParams(), headers)
    }
  }
}

/** One ES256 assertion, from the claims to the parameters of the request. */
export async function assertion(): Promise<readonly Figure[]> {
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const pem = key.export({ format: 'pem', type: 'pkcs8' }).toString()
  const timed = (work: Work) => () => microsecondsPerCall(work)
  const times = await interleaved(
    {
      floor: timed(bareSign(key)),
      ours: timed(ours(pem)),
      jose: timed(await ofJose(pem)),
      oauth4webapi: timed(await ofOauth4webapi(pem)),
    },
    { turns: 31, warmUps: 4 },
  )
  const figure = besideFloor(times.floor, (us) => `${us.toFixed(1)} us`)
  return [
    figure('ES256 assertion beside crypto.sign', times.ours, 1.4),
    figure('the same with jose', times.jose),
    figure('the same with oauth4webapi', times.oauth4webapi),
  ]
}

async function microsecondsPerCall(work: Work): Promise<number> {
  const startedAt = process.hrtime.bigint()
  await work(CALLS)
  return Number(process.hrtime.bigint() - startedAt) / CALLS / 1000
}
