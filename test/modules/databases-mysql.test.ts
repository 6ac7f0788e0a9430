import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeMysql, mysqlEngine } from '../helpers/database-engines.js';
import { type DatabaseSetup, setUpDatabases } from '../helpers/database-setup.js';
import { testDatabases } from './database-cases.js';

describeMysql('on MariaDB', () => {
  testDatabases(async () => mysqlEngine());

  describe('and only there', () => {
    const engine = mysqlEngine();
    let setup: DatabaseSetup;
    beforeAll(async () => {
      setup = await setUpDatabases(engine);
    });
    afterAll(() => setup?.close());

    async function create(name: string, fields: Record<string, unknown> = {}) {
      const { url } = await setup.createServer();
      return setup.panel.post(url, { name, hostId: setup.host.id, ...fields }, setup.owner.token);
    }

    test('an account sees its own database only, and can give nobody anything', async () => {
      await create(setup.name());
      const { body } = await create(setup.name());
      const session = await setup.login(body.data);
      const open = (await engine.operate(`SELECT Db FROM mysql.db WHERE User IN ('', 'PUBLIC')`)).length > 0;
      const seen = (await session.query('SHOW DATABASES')).map(({ Database: name }) => name);
      expect(seen.filter((name) => !(open && name === 'test')).sort()).toEqual(
        [body.data.name, 'information_schema'].sort(),
      );
      const grant = `GRANT SELECT ON ${engine.quote(body.data.name)}.* TO CURRENT_USER`;
      await expect(session.query(grant)).rejects.toThrow(/denied/i);
      await expect(session.query('SELECT User FROM mysql.user')).rejects.toThrow(/denied/i);
      await session.end();
    });

    test('an account with a remote is let in from there only', async () => {
      const elsewhere = await create(setup.name(), { remote: '203.0.113.%' });
      expect(elsewhere.status).toBe(201);
      await expect(setup.login(elsewhere.body.data)).rejects.toThrow(/denied|not allowed/i);
      const [user] = await engine.operate(
        `SELECT Host FROM mysql.user WHERE User = '${elsewhere.body.data.username}'`,
      );
      expect(user).toEqual({ Host: '203.0.113.%' });
      const local = await create(setup.name(), { remote: 'LOCALHOST' });
      await (await setup.login(local.body.data)).end();
    });

    test('a name whose databases are open to everybody on the host is 400', async () => {
      const prefix = `open${randomBytes(4).toString('hex')}`;
      await engine.operate(`GRANT ALL ON \`${prefix}\\_%\`.* TO PUBLIC`);
      const answer = await create(`${prefix.toUpperCase()}_mine`);
      await engine.operate(`REVOKE ALL ON \`${prefix}\\_%\`.* FROM PUBLIC`);
      expect([answer.status, answer.body.code]).toEqual([400, 'request.invalid']);
      expect(answer.body.message).toContain('Choose another');
      expect((await create(setup.own(`${prefix}_mine`))).status).toBe(201);
    });

    test('a database that is busy is deleted all the same', async () => {
      const { url } = await setup.createServer();
      const body = { name: setup.name(), hostId: setup.host.id };
      const { data } = (await setup.panel.post(url, body, setup.owner.token)).body;
      const session = await setup.login(data);
      await session.query('CREATE TABLE players (id int)');
      await session.query('START TRANSACTION');
      await session.query('INSERT INTO players VALUES (1)');
      expect((await setup.panel.delete(`${url}/${data.id}`, setup.owner.token)).status).toBe(200);
      expect(await engine.hasDatabase(data.name)).toBe(false);
    });
  });
});
