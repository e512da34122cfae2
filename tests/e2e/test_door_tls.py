"""The door over HTTPS: with a certificate of a made-up authority, to clients that know it."""

import ssl

import httpx
import openai
import pytest
import trustme
from support.deployment import Deployment

from tierstream.simulator.server import running_simulator
from tierstream.stack.ports import free_port

QUESTION = {"model": "auto", "messages": [{"role": "user", "content": "What is Kafka?"}]}


@pytest.fixture
async def simulator():
    async with running_simulator(time_scale=0) as running:
        running.set_behaviour(judge_error_rate=0, reasoning_share=0)
        yield running


async def test_an_sdk_asks_over_tls(kafka, simulator, tmp_path):
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    chain, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(str(chain), append=True)
    certificate.private_key_pem.write_to_path(str(key))
    trusting, doubting = ssl.create_default_context(), ssl.create_default_context()
    authority.configure_trust(trusting)
    config = f'[serve]\ntls_cert = "{chain}"\ntls_key = "{key}"\n'
    deployment = Deployment(kafka.bootstrap_servers, tmp_path, simulator_url=simulator.url, config=config)
    async with deployment.running():
        port = free_port()
        await deployment.start_worker()
        await deployment.start("serve", "--port", str(port))
        url = f"https://localhost:{port}"
        async with httpx.AsyncClient(verify=trusting, timeout=60) as http:
            client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", http_client=http, max_retries=0)
            answer = await client.chat.completions.create(**QUESTION)
            stream = await client.chat.completions.create(**QUESTION, stream=True)
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        assert "".join(pieces) == answer.choices[0].message.content
        async with httpx.AsyncClient(verify=doubting) as http:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await http.get(f"{url}/livez")
        async with httpx.AsyncClient() as http:
            with pytest.raises(httpx.RemoteProtocolError):
                await http.get(f"http://localhost:{port}/livez")
        deployment.check()
