BEGIN TRANSACTION;
CREATE TABLE application_versions (
    version_id TEXT NOT NULL PRIMARY KEY,
    version_name TEXT NOT NULL UNIQUE,
    version_timestamp INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000),
    created_at INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000)
, "application_name" TEXT DEFAULT NULL);
INSERT INTO "application_versions" VALUES('eed71a44-85df-4bd7-8ff6-040a812516cb','1',1.79590219618327099609e+12,1.79590219618327416994e+12,'mthds-rpc');
CREATE TABLE dbos_migrations (version INTEGER NOT NULL PRIMARY KEY);
INSERT INTO "dbos_migrations" VALUES(125);
CREATE TABLE mthds_events (
	run_id TEXT NOT NULL, 
	seq INTEGER NOT NULL, 
	event TEXT NOT NULL, 
	PRIMARY KEY (run_id, seq)
);
INSERT INTO "mthds_events" VALUES('completed',1,'{"kind": "run_started", "at": 1795902198.146892, "started": 0, "ended": 0, "attempt": 1, "message": "the run started"}');
INSERT INTO "mthds_events" VALUES('failed',1,'{"kind": "run_started", "at": 1795902198.1631012, "started": 0, "ended": 0, "attempt": 1, "message": "the run started"}');
INSERT INTO "mthds_events" VALUES('completed',2,'{"kind": "pipe_started", "at": 1795902198.180879, "pipe": "greeting.greet", "node_id": "completed:node_0", "path": "greeting.greet", "started": 1, "ended": 0, "total": 1, "attempt": 1, "message": "greeting.greet started"}');
INSERT INTO "mthds_events" VALUES('completed',3,'{"kind": "pipe_completed", "at": 1795902198.1895754, "pipe": "greeting.greet", "node_id": "completed:node_0", "path": "greeting.greet", "started": 1, "ended": 1, "total": 1, "attempt": 1, "message": "greeting.greet completed"}');
INSERT INTO "mthds_events" VALUES('completed',4,'{"kind": "run_ended", "at": 1795902198.1980636, "started": 1, "ended": 1, "attempt": 1, "message": "the run ended: completed"}');
INSERT INTO "mthds_events" VALUES('failed',2,'{"kind": "pipe_started", "at": 1795902198.1993966, "pipe": "greeting.greet", "node_id": "failed:node_0", "path": "greeting.greet", "started": 1, "ended": 0, "total": 1, "attempt": 1, "message": "greeting.greet started"}');
INSERT INTO "mthds_events" VALUES('failed',3,'{"kind": "pipe_failed", "at": 1795902198.2025108, "pipe": "greeting.greet", "node_id": "failed:node_0", "path": "greeting.greet", "started": 1, "ended": 1, "total": 1, "attempt": 1, "message": "greeting.greet failed", "problem": {"code": "input.missing", "title": "A required input is missing", "detail": "The request does not give the input ''name'', which the method requires.", "domain": "input", "retry": "no", "next_step": {"kind": "change_input", "detail": "Add the input ''name'' to the request, then send it again."}, "type": "https://mthds.ai/errors/input.missing", "params": {"input": "name"}, "location": {"pipe": "greet", "path": ["greet"]}}}');
INSERT INTO "mthds_events" VALUES('failed',4,'{"kind": "run_ended", "at": 1795902198.2111764, "started": 1, "ended": 1, "attempt": 1, "message": "the run ended: failed", "problem": {"code": "input.missing", "title": "A required input is missing", "detail": "The request does not give the input ''name'', which the method requires.", "domain": "input", "retry": "no", "next_step": {"kind": "change_input", "detail": "Add the input ''name'' to the request, then send it again."}, "type": "https://mthds.ai/errors/input.missing", "params": {"input": "name"}, "location": {"pipe": "greet", "path": ["greet"]}, "pipeline_run_id": "failed"}}');
INSERT INTO "mthds_events" VALUES('timed-out',1,'{"kind": "run_ended", "at": 1795902201.9322464, "started": 0, "ended": 0, "attempt": 0, "message": "the run ended: timed_out", "problem": {"code": "run.timed_out", "title": "The run did not end in time", "detail": "The run was stopped after its limit of 1 seconds.", "domain": "method", "retry": "no", "next_step": {"kind": "change_method", "detail": "Raise `timeout_s`, or make the method do less, then run it again."}, "params": {"timeout": 1.0}, "pipeline_run_id": "timed-out"}}');
INSERT INTO "mthds_events" VALUES('cancelled',1,'{"kind": "run_started", "at": 1795902201.9593894, "started": 0, "ended": 0, "attempt": 1, "message": "the run started"}');
INSERT INTO "mthds_events" VALUES('handed-back',1,'{"kind": "run_started", "at": 1795902201.9610968, "started": 0, "ended": 0, "attempt": 1, "message": "the run started"}');
INSERT INTO "mthds_events" VALUES('cancelled',2,'{"kind": "pipe_started", "at": 1795902204.6688874, "pipe": "own_python.work", "node_id": "cancelled:node_0", "path": "own_python.work", "started": 1, "ended": 0, "total": 1, "attempt": 1, "message": "own_python.work started"}');
INSERT INTO "mthds_events" VALUES('handed-back',2,'{"kind": "pipe_started", "at": 1795902204.6742685, "pipe": "own_python.work", "node_id": "handed-back:node_0", "path": "own_python.work", "started": 1, "ended": 0, "total": 1, "attempt": 1, "message": "own_python.work started"}');
INSERT INTO "mthds_events" VALUES('cancelled',3,'{"kind": "run_ended", "at": 1795902204.8122888, "started": 1, "ended": 0, "attempt": 1, "message": "the run ended: cancelled", "problem": {"code": "run.cancelled", "title": "The run was cancelled", "detail": "The run was cancelled before it ended.", "domain": "input", "retry": "yes", "next_step": {"kind": "retry", "detail": "Run it again if its result is still wanted."}, "pipeline_run_id": "cancelled"}}');
INSERT INTO "mthds_events" VALUES('handed-back',3,'{"kind": "run_requeued", "at": 1795902204.8436298, "started": 0, "ended": 0, "attempt": 1, "message": "the worker stops; the run waits for another"}');
INSERT INTO "mthds_events" VALUES('cancelled-early',1,'{"kind": "run_ended", "at": 1795902204.9711657, "started": 0, "ended": 0, "attempt": 0, "message": "the run ended: cancelled", "problem": {"code": "run.cancelled", "title": "The run was cancelled", "detail": "The run was cancelled before it ended.", "domain": "input", "retry": "yes", "next_step": {"kind": "retry", "detail": "Run it again if its result is still wanted."}, "pipeline_run_id": "cancelled-early"}}');
INSERT INTO "mthds_events" VALUES('running',1,'{"kind": "run_started", "at": 1795902206.8482199, "started": 0, "ended": 0, "attempt": 1, "message": "the run started"}');
INSERT INTO "mthds_events" VALUES('running',2,'{"kind": "pipe_started", "at": 1795902208.2345152, "pipe": "own_python.work", "node_id": "running:node_0", "path": "own_python.work", "started": 1, "ended": 0, "total": 1, "attempt": 1, "message": "own_python.work started"}');
CREATE TABLE mthds_executors (
	id TEXT NOT NULL, 
	beat BIGINT NOT NULL, 
	beat_at DOUBLE NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE mthds_results (
	run_id TEXT NOT NULL, 
	result TEXT NOT NULL, 
	PRIMARY KEY (run_id)
);
INSERT INTO "mthds_results" VALUES('completed','{"pipeline_run_id": "completed", "orchestration_mode": "dbos", "state": "COMPLETED", "created_at": "2026-11-28T21:43:13.256362+00:00", "finished_at": "2026-11-28T21:43:18.189923+00:00", "main_stuff_name": "main_stuff", "concept": "native.Text", "output": {"text": "Hello Ann"}, "usage": {"models": [], "input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0}, "run_mode": "live"}');
CREATE TABLE mthds_runs (
	run_id TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	state TEXT NOT NULL, 
	method TEXT, 
	pipe TEXT, 
	created_at DOUBLE NOT NULL, 
	deadline DOUBLE, 
	started_at DOUBLE, 
	finished_at DOUBLE, 
	cancel_asked_at DOUBLE, 
	attempt INTEGER NOT NULL, 
	executor TEXT, 
	event_count INTEGER NOT NULL, 
	problem TEXT, 
	PRIMARY KEY (run_id)
);
INSERT INTO "mthds_runs" VALUES('completed','07b37067e504936ca95201418334291d4a8b9b583e6086cb751c97474ea93d61','COMPLETED',NULL,NULL,1.79590219325636219977e+09,1.79598859325636219983e+09,1.79590219814689207073e+09,1.79590219819806361199e+09,NULL,1,'worker-1-0123456789ab',4,NULL);
INSERT INTO "mthds_runs" VALUES('failed','8a824eea71dd155f86e3086eba85d34b04d0c459484075eaeea97b42ed22cdf4','FAILED',NULL,NULL,1.79590219797896838188e+09,1.79598859797896838194e+09,1.79590219816310119622e+09,1.79590219821117639542e+09,NULL,1,'worker-1-0123456789ab',4,'{"code": "input.missing", "title": "A required input is missing", "detail": "The request does not give the input ''name'', which the method requires.", "domain": "input", "retry": "no", "next_step": {"kind": "change_input", "detail": "Add the input ''name'' to the request, then send it again."}, "type": "https://mthds.ai/errors/input.missing", "params": {"input": "name"}, "location": {"pipe": "greet", "path": ["greet"]}, "pipeline_run_id": "failed"}');
INSERT INTO "mthds_runs" VALUES('timed-out','30f39779303e4444d859ab568a11c3de28ba4476549440318778b4f3c48fc73a','TIMED_OUT',NULL,NULL,1.79590219798358559605e+09,1.79590219898358559608e+09,NULL,1.7959022019322464466e+09,NULL,0,NULL,1,'{"code": "run.timed_out", "title": "The run did not end in time", "detail": "The run was stopped after its limit of 1 seconds.", "domain": "method", "retry": "no", "next_step": {"kind": "change_method", "detail": "Raise `timeout_s`, or make the method do less, then run it again."}, "params": {"timeout": 1.0}, "pipeline_run_id": "timed-out"}');
INSERT INTO "mthds_runs" VALUES('cancelled','30f39779303e4444d859ab568a11c3de28ba4476549440318778b4f3c48fc73a','CANCELLED',NULL,NULL,1.79590220184830284119e+09,1.79598860184830284121e+09,1.7959022019593894482e+09,1.79590220481228876117e+09,1.79590220471061444277e+09,1,'worker-1-0123456789ab',3,'{"code": "run.cancelled", "title": "The run was cancelled", "detail": "The run was cancelled before it ended.", "domain": "input", "retry": "yes", "next_step": {"kind": "retry", "detail": "Run it again if its result is still wanted."}, "pipeline_run_id": "cancelled"}');
INSERT INTO "mthds_runs" VALUES('handed-back','30f39779303e4444d859ab568a11c3de28ba4476549440318778b4f3c48fc73a','QUEUED',NULL,NULL,1.79590220186816120146e+09,1.79598860186816120148e+09,1.79590220196109676357e+09,NULL,NULL,0,NULL,3,NULL);
INSERT INTO "mthds_runs" VALUES('queued','07b37067e504936ca95201418334291d4a8b9b583e6086cb751c97474ea93d61','QUEUED',NULL,NULL,1.79590220496223568918e+09,1.79598860496223568911e+09,NULL,NULL,NULL,0,NULL,0,NULL);
INSERT INTO "mthds_runs" VALUES('cancelled-early','07b37067e504936ca95201418334291d4a8b9b583e6086cb751c97474ea93d61','CANCELLED',NULL,NULL,1.79590220496612238887e+09,1.79598860496612238888e+09,NULL,1.79590220497116565706e+09,NULL,0,NULL,1,'{"code": "run.cancelled", "title": "The run was cancelled", "detail": "The run was cancelled before it ended.", "domain": "input", "retry": "yes", "next_step": {"kind": "retry", "detail": "Run it again if its result is still wanted."}, "pipeline_run_id": "cancelled-early"}');
INSERT INTO "mthds_runs" VALUES('running','30f39779303e4444d859ab568a11c3de28ba4476549440318778b4f3c48fc73a','RUNNING',NULL,NULL,1.79590220498668289182e+09,1.79598860498668289184e+09,1.7959022068482198715e+09,NULL,NULL,1,'worker-1-0123456789ab',2,NULL);
CREATE TABLE mthds_schema (
	dbos TEXT NOT NULL, 
	PRIMARY KEY (dbos)
);
INSERT INTO "mthds_schema" VALUES('3.4.0');
CREATE TABLE notifications (
    message_uuid TEXT NOT NULL DEFAULT (hex(randomblob(16))) PRIMARY KEY,
    destination_uuid TEXT NOT NULL,
    topic TEXT,
    message TEXT NOT NULL,
    created_at_epoch_ms INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000), "serialization" TEXT DEFAULT NULL, "consumed" BOOLEAN NOT NULL DEFAULT FALSE, consumed_by_function_id INTEGER,
    FOREIGN KEY (destination_uuid) REFERENCES workflow_status(workflow_uuid) 
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE "operation_outputs" (
    workflow_uuid TEXT NOT NULL,
    function_id INTEGER NOT NULL,
    function_name TEXT NOT NULL DEFAULT '',
    output TEXT,
    error TEXT,
    child_workflow_id TEXT,
    started_at_epoch_ms INTEGER,
    completed_at_epoch_ms INTEGER,
    serialization TEXT,
    application_name TEXT DEFAULT NULL,
    retention_timestamp INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000),
    PRIMARY KEY (workflow_uuid, function_id)
);
CREATE TABLE queues (
    queue_id TEXT PRIMARY KEY DEFAULT (hex(randomblob(16))),
    name TEXT NOT NULL UNIQUE,
    concurrency INTEGER,
    worker_concurrency INTEGER,
    rate_limit_max INTEGER,
    rate_limit_period_sec REAL,
    priority_enabled BOOLEAN NOT NULL DEFAULT FALSE,
    partition_queue BOOLEAN NOT NULL DEFAULT FALSE,
    polling_interval_sec REAL NOT NULL DEFAULT 1.0,
    created_at INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000),
    updated_at INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000)
, "application_name" TEXT DEFAULT NULL, "partition_concurrency" INTEGER DEFAULT NULL, "partition_worker_concurrency" INTEGER DEFAULT NULL, "partition_rate_limit_max" INTEGER DEFAULT NULL, "partition_rate_limit_period_sec" REAL DEFAULT NULL);
INSERT INTO "queues" VALUES('8F13BA7F316BAF4FA45F1D5505B92389','mthds-runs',NULL,16,NULL,NULL,1,0,0.15,1.79590219630605957027e+12,1795902206632,'mthds-rpc',NULL,NULL,NULL,NULL);
CREATE TABLE streams (
    workflow_uuid TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    "offset" INTEGER NOT NULL, function_id INTEGER NOT NULL DEFAULT 0, "serialization" TEXT DEFAULT NULL,
    PRIMARY KEY (workflow_uuid, key, "offset"),
    FOREIGN KEY (workflow_uuid) REFERENCES workflow_status(workflow_uuid) 
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE workflow_events (
    workflow_uuid TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL, "serialization" TEXT DEFAULT NULL,
    PRIMARY KEY (workflow_uuid, key),
    FOREIGN KEY (workflow_uuid) REFERENCES workflow_status(workflow_uuid) 
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE workflow_events_history (
    workflow_uuid TEXT NOT NULL,
    function_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL, "serialization" TEXT DEFAULT NULL,
    PRIMARY KEY (workflow_uuid, function_id, key),
    FOREIGN KEY (workflow_uuid) REFERENCES workflow_status(workflow_uuid)
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE workflow_input (
    workflow_uuid TEXT NOT NULL PRIMARY KEY,
    inputs TEXT,
    retention_timestamp INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000)
);
INSERT INTO "workflow_input" VALUES('completed','{"namedArgs":{},"positionalArgs":[{"run_id":"completed","method":{"mthds_contents":["\ndomain = \"greeting\"\nmain_pipe = \"greet\"\n\n[pipe.greet]\ntype = \"PipeCompose\"\ndescription = \"Greet somebody by name\"\ninputs = { name = \"Text\" }\noutput = \"Text\"\ntemplate = \"Hello {{ name }}\"\n"],"dependencies":{}},"orchestration_mode":"dbos","inputs":{"name":"Ann"},"run_mode":"live","include":[],"created_at":1795902193.2563622,"deadline":1795988593.2563622}]}',1.79590219796301489262e+12);
INSERT INTO "workflow_input" VALUES('failed','{"namedArgs":{},"positionalArgs":[{"run_id":"failed","method":{"mthds_contents":["\ndomain = \"greeting\"\nmain_pipe = \"greet\"\n\n[pipe.greet]\ntype = \"PipeCompose\"\ndescription = \"Greet somebody by name\"\ninputs = { name = \"Text\" }\noutput = \"Text\"\ntemplate = \"Hello {{ name }}\"\n"],"dependencies":{}},"orchestration_mode":"dbos","run_mode":"live","include":[],"created_at":1795902197.9789684,"deadline":1795988597.9789684}]}',1.79590219798152905274e+12);
INSERT INTO "workflow_input" VALUES('timed-out','{"namedArgs":{},"positionalArgs":[{"run_id":"timed-out","method":{"files":{"main.mthds":"\ndomain = \"own_python\"\nmain_pipe = \"work\"\n\n[pipe.work]\ntype = \"PipeFunc\"\ndescription = \"Run this method''s own Python\"\ninputs = { word = \"Text\" }\noutput = \"Text\"\nfunction_name = \"obedient.work\"\n","obedient.py":"\nfrom pipelex.core.memory.working_memory import WorkingMemory\nfrom pipelex.core.stuffs.text_content import TextContent\nfrom pipelex.system.registries.func_registry import pipe_func\n\n\n@pipe_func()\nasync def work(working_memory: WorkingMemory) -> TextContent:\n    word = working_memory.get_stuff_as_str(\"word\")\n\n    import asyncio\n    import os\n    from pathlib import Path\n\n    order, _, place = word.partition(\" \")\n    with open(place + \".begun\", \"a\") as begun:\n        begun.write(\"x\")\n    if order == \"wait\":\n        await asyncio.sleep(3600)\n    while order == \"until\" and not Path(place + \".go\").exists():\n        await asyncio.sleep(0.01)\n    while order == \"spin\":\n        pass\n    if order == \"fail\":\n        raise ValueError(\"it failed as it was told\")\n    if order == \"die\":\n        os._exit(9)\n    if order == \"leak\":\n        print(os.environ[\"MY_API_KEY\"], flush=True)\n        raise ValueError(\"the key is \" + os.environ[\"MY_API_KEY\"])\n    if order == \"tell\":\n        return TextContent(text=\"the key is \" + os.environ[\"MY_API_KEY\"])\n    return TextContent(text=order)\n\n"},"dependencies":{}},"orchestration_mode":"dbos","inputs":{"word":"wait run"},"run_mode":"live","include":[],"created_at":1795902197.9835856,"deadline":1795902198.9835856}]}',1.79590220183774316401e+12);
INSERT INTO "workflow_input" VALUES('cancelled','{"namedArgs":{},"positionalArgs":[{"run_id":"cancelled","method":{"files":{"main.mthds":"\ndomain = \"own_python\"\nmain_pipe = \"work\"\n\n[pipe.work]\ntype = \"PipeFunc\"\ndescription = \"Run this method''s own Python\"\ninputs = { word = \"Text\" }\noutput = \"Text\"\nfunction_name = \"obedient.work\"\n","obedient.py":"\nfrom pipelex.core.memory.working_memory import WorkingMemory\nfrom pipelex.core.stuffs.text_content import TextContent\nfrom pipelex.system.registries.func_registry import pipe_func\n\n\n@pipe_func()\nasync def work(working_memory: WorkingMemory) -> TextContent:\n    word = working_memory.get_stuff_as_str(\"word\")\n\n    import asyncio\n    import os\n    from pathlib import Path\n\n    order, _, place = word.partition(\" \")\n    with open(place + \".begun\", \"a\") as begun:\n        begun.write(\"x\")\n    if order == \"wait\":\n        await asyncio.sleep(3600)\n    while order == \"until\" and not Path(place + \".go\").exists():\n        await asyncio.sleep(0.01)\n    while order == \"spin\":\n        pass\n    if order == \"fail\":\n        raise ValueError(\"it failed as it was told\")\n    if order == \"die\":\n        os._exit(9)\n    if order == \"leak\":\n        print(os.environ[\"MY_API_KEY\"], flush=True)\n        raise ValueError(\"the key is \" + os.environ[\"MY_API_KEY\"])\n    if order == \"tell\":\n        return TextContent(text=\"the key is \" + os.environ[\"MY_API_KEY\"])\n    return TextContent(text=order)\n\n"},"dependencies":{}},"orchestration_mode":"dbos","inputs":{"word":"wait run"},"run_mode":"live","include":[],"created_at":1795902201.8483028,"deadline":1795988601.8483028}]}',1.79590220185387817379e+12);
INSERT INTO "workflow_input" VALUES('handed-back','{"namedArgs":{},"positionalArgs":[{"run_id":"handed-back","method":{"files":{"main.mthds":"\ndomain = \"own_python\"\nmain_pipe = \"work\"\n\n[pipe.work]\ntype = \"PipeFunc\"\ndescription = \"Run this method''s own Python\"\ninputs = { word = \"Text\" }\noutput = \"Text\"\nfunction_name = \"obedient.work\"\n","obedient.py":"\nfrom pipelex.core.memory.working_memory import WorkingMemory\nfrom pipelex.core.stuffs.text_content import TextContent\nfrom pipelex.system.registries.func_registry import pipe_func\n\n\n@pipe_func()\nasync def work(working_memory: WorkingMemory) -> TextContent:\n    word = working_memory.get_stuff_as_str(\"word\")\n\n    import asyncio\n    import os\n    from pathlib import Path\n\n    order, _, place = word.partition(\" \")\n    with open(place + \".begun\", \"a\") as begun:\n        begun.write(\"x\")\n    if order == \"wait\":\n        await asyncio.sleep(3600)\n    while order == \"until\" and not Path(place + \".go\").exists():\n        await asyncio.sleep(0.01)\n    while order == \"spin\":\n        pass\n    if order == \"fail\":\n        raise ValueError(\"it failed as it was told\")\n    if order == \"die\":\n        os._exit(9)\n    if order == \"leak\":\n        print(os.environ[\"MY_API_KEY\"], flush=True)\n        raise ValueError(\"the key is \" + os.environ[\"MY_API_KEY\"])\n    if order == \"tell\":\n        return TextContent(text=\"the key is \" + os.environ[\"MY_API_KEY\"])\n    return TextContent(text=order)\n\n"},"dependencies":{}},"orchestration_mode":"dbos","inputs":{"word":"wait run"},"run_mode":"live","include":[],"created_at":1795902201.8681612,"deadline":1795988601.8681612}]}',1.79590220187097705079e+12);
INSERT INTO "workflow_input" VALUES('queued','{"namedArgs":{},"positionalArgs":[{"run_id":"queued","method":{"mthds_contents":["\ndomain = \"greeting\"\nmain_pipe = \"greet\"\n\n[pipe.greet]\ntype = \"PipeCompose\"\ndescription = \"Greet somebody by name\"\ninputs = { name = \"Text\" }\noutput = \"Text\"\ntemplate = \"Hello {{ name }}\"\n"],"dependencies":{}},"orchestration_mode":"dbos","inputs":{"name":"Ann"},"run_mode":"live","include":[],"created_at":1795902204.9622357,"deadline":1795988604.9622357}]}',1.7959022049644709473e+12);
INSERT INTO "workflow_input" VALUES('cancelled-early','{"namedArgs":{},"positionalArgs":[{"run_id":"cancelled-early","method":{"mthds_contents":["\ndomain = \"greeting\"\nmain_pipe = \"greet\"\n\n[pipe.greet]\ntype = \"PipeCompose\"\ndescription = \"Greet somebody by name\"\ninputs = { name = \"Text\" }\noutput = \"Text\"\ntemplate = \"Hello {{ name }}\"\n"],"dependencies":{}},"orchestration_mode":"dbos","inputs":{"name":"Ann"},"run_mode":"live","include":[],"created_at":1795902204.9661224,"deadline":1795988604.9661224}]}',1.79590220496779809575e+12);
INSERT INTO "workflow_input" VALUES('running','{"namedArgs":{},"positionalArgs":[{"run_id":"running","method":{"files":{"main.mthds":"\ndomain = \"own_python\"\nmain_pipe = \"work\"\n\n[pipe.work]\ntype = \"PipeFunc\"\ndescription = \"Run this method''s own Python\"\ninputs = { word = \"Text\" }\noutput = \"Text\"\nfunction_name = \"obedient.work\"\n","obedient.py":"\nfrom pipelex.core.memory.working_memory import WorkingMemory\nfrom pipelex.core.stuffs.text_content import TextContent\nfrom pipelex.system.registries.func_registry import pipe_func\n\n\n@pipe_func()\nasync def work(working_memory: WorkingMemory) -> TextContent:\n    word = working_memory.get_stuff_as_str(\"word\")\n\n    import asyncio\n    import os\n    from pathlib import Path\n\n    order, _, place = word.partition(\" \")\n    with open(place + \".begun\", \"a\") as begun:\n        begun.write(\"x\")\n    if order == \"wait\":\n        await asyncio.sleep(3600)\n    while order == \"until\" and not Path(place + \".go\").exists():\n        await asyncio.sleep(0.01)\n    while order == \"spin\":\n        pass\n    if order == \"fail\":\n        raise ValueError(\"it failed as it was told\")\n    if order == \"die\":\n        os._exit(9)\n    if order == \"leak\":\n        print(os.environ[\"MY_API_KEY\"], flush=True)\n        raise ValueError(\"the key is \" + os.environ[\"MY_API_KEY\"])\n    if order == \"tell\":\n        return TextContent(text=\"the key is \" + os.environ[\"MY_API_KEY\"])\n    return TextContent(text=order)\n\n"},"dependencies":{}},"orchestration_mode":"dbos","inputs":{"word":"wait run"},"run_mode":"live","include":[],"created_at":1795902204.986683,"deadline":1795988604.986683}]}',1.79590220498871533201e+12);
CREATE TABLE workflow_output (
    workflow_uuid TEXT NOT NULL PRIMARY KEY,
    output TEXT,
    error TEXT,
    retention_timestamp INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000)
);
INSERT INTO "workflow_output" VALUES('completed','null',NULL,1.79590219823405371091e+12);
INSERT INTO "workflow_output" VALUES('failed','null',NULL,1.79590219824845825197e+12);
INSERT INTO "workflow_output" VALUES('timed-out','null',NULL,1.79590220197537524414e+12);
INSERT INTO "workflow_output" VALUES('cancelled','null',NULL,1.79590220481622192386e+12);
CREATE TABLE workflow_schedules (
    schedule_id TEXT PRIMARY KEY,
    schedule_name TEXT NOT NULL UNIQUE,
    workflow_name TEXT NOT NULL,
    workflow_class_name TEXT,
    schedule TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'ACTIVE',
    context TEXT NOT NULL
, "last_fired_at" TEXT DEFAULT NULL, "automatic_backfill" BOOLEAN NOT NULL DEFAULT FALSE, "cron_timezone" TEXT DEFAULT NULL, "queue_name" TEXT DEFAULT NULL, "application_name" TEXT DEFAULT NULL);
CREATE TABLE workflow_status (
    workflow_uuid TEXT PRIMARY KEY,
    status TEXT,
    name TEXT,
    authenticated_user TEXT,
    assumed_role TEXT,
    authenticated_roles TEXT,
    request TEXT,
    output TEXT,
    error TEXT,
    executor_id TEXT,
    created_at INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000),
    updated_at INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000),
    application_version TEXT,
    application_id TEXT,
    class_name TEXT DEFAULT NULL,
    config_name TEXT DEFAULT NULL,
    recovery_attempts INTEGER DEFAULT 0,
    queue_name TEXT,
    workflow_timeout_ms INTEGER,
    workflow_deadline_epoch_ms INTEGER,
    inputs TEXT,
    started_at_epoch_ms INTEGER,
    deduplication_id TEXT,
    priority INTEGER NOT NULL DEFAULT 0
, queue_partition_key TEXT, forked_from TEXT, "owner_xid" TEXT DEFAULT NULL, "parent_workflow_id" TEXT DEFAULT NULL, "serialization" TEXT DEFAULT NULL, "delay_until_epoch_ms" BIGINT DEFAULT NULL, "was_forked_from" BOOLEAN NOT NULL DEFAULT FALSE, "rate_limited" BOOLEAN NOT NULL DEFAULT FALSE, "completed_at" BIGINT, "attributes" TEXT, "schedule_name" TEXT, "debounce_deadline_epoch_ms" BIGINT DEFAULT NULL, "is_debounced" BOOLEAN NOT NULL DEFAULT FALSE, "application_name" TEXT DEFAULT NULL, "creator_xid" TEXT DEFAULT NULL);
INSERT INTO "workflow_status" VALUES('completed','SUCCESS','run_method',NULL,NULL,NULL,NULL,NULL,NULL,'worker-1-0123456789ab',1.79590219796188281251e+12,1795902198232,'1',NULL,NULL,NULL,1,'mthds-runs',NULL,NULL,NULL,1795902198102,NULL,0,NULL,NULL,NULL,NULL,'portable_json',NULL,0,0,1795902198232,'null',NULL,NULL,0,'mthds-rpc','worker-1-0123456789ab');
INSERT INTO "workflow_status" VALUES('failed','SUCCESS','run_method',NULL,NULL,NULL,NULL,NULL,NULL,'worker-1-0123456789ab',1.79590219798128710934e+12,1795902198247,'1',NULL,NULL,NULL,1,'mthds-runs',NULL,NULL,NULL,1795902198103,NULL,0,NULL,NULL,NULL,NULL,'portable_json',NULL,0,0,1795902198247,'null',NULL,NULL,0,'mthds-rpc','d287ea1d-efa8-41e1-9b90-b3fe75bfc834');
INSERT INTO "workflow_status" VALUES('timed-out','SUCCESS','run_method',NULL,NULL,NULL,NULL,NULL,NULL,'worker-1-0123456789ab',1.79590220183744946284e+12,1795902201974,'1',NULL,NULL,NULL,1,'mthds-runs',NULL,NULL,NULL,1795902201908,NULL,0,NULL,NULL,NULL,NULL,'portable_json',NULL,0,0,1795902201974,'null',NULL,NULL,0,'mthds-rpc','98e2d69e-5dad-440a-afa3-c0689a31cb67');
INSERT INTO "workflow_status" VALUES('cancelled','SUCCESS','run_method',NULL,NULL,NULL,NULL,NULL,NULL,'worker-1-0123456789ab',1.79590220185357495119e+12,1795902204815,'1',NULL,NULL,NULL,1,'mthds-runs',NULL,NULL,NULL,1795902201908,NULL,0,NULL,NULL,NULL,NULL,'portable_json',NULL,0,0,1795902204815,'null',NULL,NULL,0,'mthds-rpc','65420b0c-afe0-4b27-ab5a-c3dcc5f9242d');
INSERT INTO "workflow_status" VALUES('handed-back','ENQUEUED','run_method',NULL,NULL,NULL,NULL,NULL,NULL,'worker-1-0123456789ab',1.79590220187078100592e+12,1795902204897,'1',NULL,NULL,NULL,0,'mthds-runs',NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,'mthds-rpc','worker-1-0123456789ab');
INSERT INTO "workflow_status" VALUES('queued','ENQUEUED','run_method',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1795902204964.14,1.79590220496414160154e+12,'1',NULL,NULL,NULL,0,'mthds-runs',NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,'mthds-rpc','ed83b683-9f4c-43de-83ed-a25802efcde5');
INSERT INTO "workflow_status" VALUES('cancelled-early','CANCELLED','run_method',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1.79590220496765234372e+12,1795902204981,'1',NULL,NULL,NULL,0,'mthds-runs',NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,'portable_json',NULL,0,0,1795902204981,'null',NULL,NULL,0,'mthds-rpc','94da28b0-fa9d-449e-95ba-adf7d0c768e6');
INSERT INTO "workflow_status" VALUES('running','PENDING','run_method',NULL,NULL,NULL,NULL,NULL,NULL,'worker-1-0123456789ab',1.79590220498848974605e+12,1795902206797,'1',NULL,NULL,NULL,1,'mthds-runs',NULL,NULL,NULL,1795902206797,NULL,0,NULL,NULL,'6c38d72f-5c75-431d-a4d1-5396bb80a732',NULL,'portable_json',NULL,0,0,NULL,'null',NULL,NULL,0,'mthds-rpc','worker-1-0123456789ab');
CREATE INDEX workflow_status_created_at_index ON workflow_status (created_at);
CREATE INDEX idx_workflow_topic ON notifications (destination_uuid, topic);
CREATE INDEX "idx_workflow_status_delayed" ON "workflow_status" ("delay_until_epoch_ms") WHERE status = 'DELAYED';
CREATE INDEX "idx_workflow_status_forked_from" ON "workflow_status" ("forked_from") WHERE "forked_from" IS NOT NULL;
CREATE INDEX "idx_workflow_status_parent_workflow_id" ON "workflow_status" ("parent_workflow_id") WHERE "parent_workflow_id" IS NOT NULL;
CREATE UNIQUE INDEX "uq_workflow_status_dedup_id" ON "workflow_status" ("queue_name", "deduplication_id") WHERE "deduplication_id" IS NOT NULL;
CREATE INDEX "idx_workflow_status_pending" ON "workflow_status" ("created_at") WHERE "status" = 'PENDING';
CREATE INDEX "idx_workflow_status_failed" ON "workflow_status" ("status", "created_at") WHERE "status" IN ('ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED');
CREATE INDEX "idx_workflow_status_rate_limited" ON "workflow_status" ("queue_name", "started_at_epoch_ms") WHERE "rate_limited" = TRUE;
CREATE INDEX "idx_workflow_status_completed_at" ON "workflow_status" ("completed_at") WHERE "completed_at" IS NOT NULL;
CREATE INDEX "idx_workflow_status_started_at" ON "workflow_status" ("started_at_epoch_ms") WHERE "started_at_epoch_ms" IS NOT NULL;
CREATE INDEX "idx_workflow_status_schedule_name" ON "workflow_status" ("schedule_name") WHERE "schedule_name" IS NOT NULL;
CREATE UNIQUE INDEX "uq_application_versions_owner_version"
    ON application_versions ("application_name", "version_name")
    WHERE "application_name" IS NOT NULL;
CREATE UNIQUE INDEX "uq_application_versions_unclaimed_version"
    ON application_versions ("version_name")
    WHERE "application_name" IS NULL;
CREATE INDEX idx_workflow_input_retention
    ON workflow_input (retention_timestamp);
CREATE INDEX idx_workflow_output_retention
    ON workflow_output (retention_timestamp);
CREATE INDEX idx_operation_outputs_retention
    ON operation_outputs (retention_timestamp);
CREATE INDEX "idx_workflow_status_in_flight_v2" ON "workflow_status" ("queue_name", "status", "priority", "created_at", "application_name") WHERE "status" IN ('ENQUEUED', 'PENDING');
CREATE INDEX "idx_workflow_status_partition_dequeue_v3" ON "workflow_status" ("queue_name", "status", "queue_partition_key", "priority", "created_at", "workflow_uuid", "application_name") WHERE "status" IN ('ENQUEUED', 'PENDING') AND "queue_partition_key" IS NOT NULL;
CREATE INDEX "idx_operation_outputs_completed_at_function_name_v2" ON "operation_outputs" ("completed_at_epoch_ms", "function_name", "application_name");
CREATE INDEX "idx_workflow_status_deadline" ON "workflow_status" ("workflow_deadline_epoch_ms") WHERE "status" IN ('ENQUEUED', 'PENDING', 'DELAYED') AND "workflow_deadline_epoch_ms" IS NOT NULL;
CREATE INDEX "idx_application_versions_timestamp" ON "application_versions" ("version_timestamp" DESC);
CREATE INDEX "idx_application_versions_owner_timestamp" ON "application_versions" ("application_name", "version_timestamp" DESC);
CREATE INDEX mthds_runs_by_state ON mthds_runs (state, created_at, run_id);
CREATE INDEX mthds_runs_by_age ON mthds_runs (created_at, run_id);
CREATE INDEX mthds_runs_by_method ON mthds_runs (method, created_at, run_id);
COMMIT;
