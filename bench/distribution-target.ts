import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { type ChildServer, freePort, startServer } from './child-server.ts';
import { type ProcessGroup, processTree } from './process-usage.ts';
import type { RegistryTarget } from './registry-target.ts';

const ISSUER = 'bench';
const TOKEN_SECONDS = 3600;

/**
 * CNCF distribution, with its file system storage, its usual cache in memory and, from version 3 on, tokens signed with ES256; version 2
 * knows no such keys, and runs without tokens.
 */
export class DistributionTarget implements RegistryTarget {
  readonly name: string;
  readonly origin: string;
  readonly #program: string;
  readonly #version: string;
  readonly #server: ChildServer;
  readonly #sign: ((access: object) => Promise<string>) | undefined;

  private constructor(
    program: string,
    version: string,
    origin: string,
    server: ChildServer,
    sign?: (access: object) => Promise<string>,
  ) {
    this.name = sign ? 'distribution' : 'distribution, without tokens';
    this.#program = program;
    this.#version = version;
    this.origin = origin;
    this.#server = server;
    this.#sign = sign;
  }

  static async open(program: string, workFolder: string): Promise<DistributionTarget> {
    const folder = join(workFolder, 'distribution');
    mkdirSync(folder, { recursive: true });
    const version = spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout.trim();
    const port = await freePort();
    const withTokens = !/ v?2\./.test(version);
    const { sign, jwks } = await signer();
    const jwksFile = join(folder, 'jwks.json');
    writeFileSync(jwksFile, JSON.stringify(jwks));
    const token = { realm: `http://127.0.0.1:${port}/token`, service: ISSUER, issuer: ISSUER, jwks: jwksFile };
    const settings = {
      version: '0.1',
      log: { level: 'error', accesslog: { disabled: true } },
      storage: { cache: { blobdescriptor: 'inmemory' }, filesystem: { rootdirectory: join(folder, 'registry') } },
      http: { addr: `127.0.0.1:${port}` },
      ...(withTokens ? { auth: { token: { ...token, signingalgorithms: ['ES256'] } } } : {}),
    };
    const configuration = join(folder, 'registry.json'); // JSON is YAML
    writeFileSync(configuration, JSON.stringify(settings));
    const origin = `http://127.0.0.1:${port}`;
    const server = await startServer(program, ['serve', configuration], {
      env: { OTEL_TRACES_EXPORTER: 'none' },
      logFile: join(folder, 'registry.log'),
      url: `${origin}/`,
    });
    return new DistributionTarget(program, version, origin, server, ...(withTokens ? [sign] : []));
  }

  get group(): ProcessGroup {
    return { pids: () => processTree(this.#server.pid), role: () => 'server' };
  }

  async headers(repository: string, actions: string): Promise<Record<string, string>> {
    if (!this.#sign) return {};
    const token = await this.#sign([{ type: 'repository', name: repository, actions: actions.split(',') }]);
    return { authorization: `Bearer ${token}` };
  }

  async tokenPath(): Promise<undefined> {
    return undefined;
  }

  async versions(): Promise<Record<string, string>> {
    return { [this.#program]: this.#version };
  }

  close(): Promise<void> {
    return this.#server.stop();
  }
}

async function signer() {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  const sign = (access: object): Promise<string> =>
    new SignJWT({ access })
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid })
      .setIssuer(ISSUER)
      .setAudience(ISSUER)
      .setSubject('bench')
      .setIssuedAt()
      .setNotBefore('0s')
      .setExpirationTime(`${TOKEN_SECONDS}s`)
      .setJti(kid)
      .sign(privateKey);
  return { sign, jwks: { keys: [{ ...jwk, kid, alg: 'ES256', use: 'sig' }] } };
}
